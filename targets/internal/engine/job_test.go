package engine

import (
	"testing"

	"drydock/targets/internal/graph"
)

func TestOnlyWhatTheSameToolsMadeByTheSameCommandsIsTakenToBeCached(t *testing.T) {
	t.Parallel()
	from := func(goTool, command string) graph.From {
		return graph.From{Source: goTool + command, Tools: map[string]string{"go": goTool},
			Steps: []graph.Command{{Command: command, Env: []string{"A=1"}}}}
	}
	j := &job{From: from("1.22", "go build")}
	same := graph.From{Tools: j.From.Tools, Steps: j.From.Steps}
	older := from("1.22", "go build")
	older.Steps = nil
	for name, c := range map[string]struct {
		record *graph.Record
		want   bool
	}{
		"no record":                    {nil, false},
		"another source":               {&graph.Record{From: same}, true},
		"another Go":                   {&graph.Record{From: from("1.21", "go build")}, false},
		"another command":              {&graph.Record{From: from("1.22", "go build -v")}, false},
		"a record of an older drydock": {&graph.Record{From: older}, false},
	} {
		if got := j.cached(c.record); got != c.want {
			t.Errorf("%s: got %t, want %t", name, got, c.want)
		}
	}
}
