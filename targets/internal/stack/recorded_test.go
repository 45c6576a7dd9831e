package stack

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestRecordedDigestsAreReadAsTheyWereWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "s.digests")
	none, err := LoadRecorded(file)
	if err != nil || len(none.Build) != 0 {
		t.Fatalf("without a file: got %v, %v", none, err)
	}
	old := &RecordedBuild{Component: "runc", Go: "1.26.8 a", CC: "12 b", Key: "k0",
		Files: map[string]string{"runc": "00"}}
	build := &RecordedBuild{Component: "runc", Go: "1.26.8 a", CC: "12 b", Key: "k1",
		Files: map[string]string{"runc": "01", "lib/x.a": "02"}}
	other := &RecordedBuild{Component: "runc", Go: "1.26.9 a", CC: "12 b", Key: "k2",
		Files: map[string]string{"runc": "03"}}
	for _, b := range []*RecordedBuild{other, old, build} {
		none.Put(b)
	}
	if err := os.WriteFile(file, none.Encode(), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := LoadRecorded(file)
	if err != nil || !reflect.DeepEqual(got.Build, []*RecordedBuild{build, other}) {
		t.Fatalf("got %v, %v, want the two builds in order", got, err)
	}
	if b := got.Find("runc", "1.26.9 a", "12 b"); b == nil || b.Key != "k2" {
		t.Errorf("got %v, want the other toolchain's", b)
	}
	if b := got.Find("runc", "1.26.9 a", ""); b != nil {
		t.Errorf("got %v for a toolchain that nobody recorded", b)
	}
}
