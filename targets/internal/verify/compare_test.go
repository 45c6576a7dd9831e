package verify

import (
	"testing"

	"drydock/targets/internal/graph"
	"drydock/targets/internal/stack"
)

// recordOf is a record of runc with a file, by a Go and a C compiler.
func recordOf(key, goID, cc, sum string) *graph.Record {
	return &graph.Record{Name: "runc", Key: key,
		Inputs: []graph.Input{{Name: "source", Value: "s"}, {Name: "go", Value: goID}, {Name: "cc", Value: cc},
			{Name: "output of libseccomp", Value: cc}},
		Outputs: []graph.Output{{Path: "build/x/store/runc/" + key + "/runc", SHA256: sum},
			{Path: "output/x/bin/runc", SHA256: sum},
			{Path: "build/x/store/runc/" + key + "/notices.tar", SHA256: "n"}}}
}

func TestBuildsAreComparedByInputsAndFiles(t *testing.T) {
	t.Parallel()
	a := recordOf("k", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "1")
	moved := recordOf("k", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "1")
	moved.Inputs[0].Value = "t"
	for _, x := range []struct {
		name             string
		b                *graph.Record
		inputs, compiler bool
		cause            string
		same             bool
	}{
		{"the same", recordOf("k", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "1"), true, false,
			"from the same inputs", true},
		{"another compiler", recordOf("l", "1.26 aaaaaaaaaa", "gcc-9 cccccccccc", "2"), false, true,
			"gcc gcc-8 bbbbbbbb, there gcc-9 cccccccc", false},
		{"other sources", moved, true, false, "made from something else: source", true},
	} {
		c := Compare(a, x.b)
		if c.SameInputs != x.inputs || c.Compilers != x.compiler || c.Cause != x.cause || !c.SameGo {
			t.Errorf("%s: got %+v", x.name, c)
		}
		if len(c.Files) != 2 || c.Files[0].Name() != "runc" || c.Files[0].Same() != x.same || !c.Files[1].Same() {
			t.Errorf("%s: got the files %+v, want runc as it is in bin, and notices.tar", x.name, c.Files)
		}
	}
	if c := Compare(a, &graph.Record{Name: "runc"}); c.Files[0].B.Path != "" {
		t.Errorf("nothing made: got %+v", c.Files[0])
	}
}

func TestABuildIsComparedWithTheRecordedOneOfItsCompilers(t *testing.T) {
	t.Parallel()
	var all stack.Recorded
	all.Put(Recorded(recordOf("k", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "1"), "notices.tar"))
	for _, x := range []struct {
		rec  *graph.Record
		want string
		bad  bool
	}{
		{recordOf("k", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "1"), Identical, false},
		{recordOf("k", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "2"),
			"runc differs from the recorded build, which had the same inputs", true},
		{recordOf("l", "1.26 aaaaaaaaaa", "gcc-8 bbbbbbbbbb", "2"), "recorded with other sources or commands", false},
		{recordOf("l", "1.27 dd", "gcc-8 bbbbbbbbbb", "2"),
			"recorded with another Go: 1.26 aaaaaaaa, this one 1.27 dd", false},
		{recordOf("l", "1.27 dd", "gcc-9 ee", "2"),
			"recorded with another Go and C compiler: 1.26 aaaaaaaa, gcc gcc-8 bbbbbbbb", false},
		{&graph.Record{Name: "tini"}, "no build of it is recorded", false},
	} {
		if text, bad := CompareRecorded(&all, Recorded(x.rec, "notices.tar")); text != x.want || bad != x.bad {
			t.Errorf("got %q, %v, want %q, %v", text, bad, x.want, x.bad)
		}
	}
}
