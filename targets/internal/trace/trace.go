// Package trace is what runs did: their history beside the logs, and the drawings of runs and plans. It works on plain
// data.
package trace

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
)

// file is what a run leaves beside its logs.
const file = "run.json"

// Run is one run that did something.
type Run struct {
	Start    time.Time `json:"start"`
	Seconds  float64   `json:"seconds"`
	Command  string    `json:"command"`
	Cores    int       `json:"cores"`
	Parts    []Part    `json:"parts"`
	Busy     []float64 `json:"busy"` // how many cores of the machine were busy, every Interval seconds
	Interval float64   `json:"interval"`

	stop func() // ends the sampling
}

// Part is what a run did with one component.
type Part struct {
	Name    string           `json:"name"`
	Needs   []string         `json:"needs,omitempty"`
	Status  graph.Status     `json:"status"`
	Why     string           `json:"why,omitempty"`
	Seconds float64          `json:"seconds"`
	Steps   []graph.StepTime `json:"steps,omitempty"`
}

// Write keeps a run beside its logs; the error is the file system's.
func (r *Run) Write(logs string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return archive.WriteBytes(filepath.Join(logs, file), 0o644, data)
}

// Load reads the runs that are kept in a directory of logs, oldest first. What cannot be read is left out.
func Load(logs string) []Run {
	files := archive.Glob(logs, "*/"+file)
	slices.Sort(files)
	var rs []Run
	for _, f := range files {
		if filepath.Base(filepath.Dir(f)) == "latest" {
			continue
		}
		var r Run
		if data, err := os.ReadFile(f); err == nil && json.Unmarshal(data, &r) == nil && r.Cores > 0 {
			rs = append(rs, r)
		}
	}
	slices.SortStableFunc(rs, func(a, b Run) int { return a.Start.Compare(b.Start) })
	return rs
}

// sampleEvery is the time between two looks at the cores.
const sampleEvery = 500 * time.Millisecond

// Begin begins a run, and notes how many cores of the machine are busy until its End.
func Begin(command string) *Run {
	r := &Run{Start: time.Now().UTC(), Command: command, Cores: runtime.NumCPU(), Interval: sampleEvery.Seconds()}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(sampleEvery)
		defer t.Stop()
		before := jiffies()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
				now := jiffies()
				// USER_HZ is 100 on every architecture that Go runs on.
				r.Busy = append(r.Busy, float64(int(now-before)*100/int(sampleEvery.Milliseconds()/10))/100)
				before = now
			}
		}
	})
	r.stop = func() { close(quit); wg.Wait() }
	return r
}

// End ends a run with what became of its nodes.
func (r *Run) End(results []graph.Result, needs func(name string) []string) {
	r.stop()
	r.Seconds = time.Since(r.Start).Seconds()
	for _, x := range results {
		r.Parts = append(r.Parts, Part{x.Name, needs(x.Name), x.Status, x.Why, x.Seconds, x.Steps})
	}
}

// jiffies are the ticks that all cores of the machine together were not idle.
func jiffies() (n int64) {
	data, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(data), "\n")
	for i, f := range strings.Fields(line) {
		// Not idle, not waiting; guests are in user.
		if v, err := strconv.ParseInt(f, 10, 64); err == nil && i != 4 && i != 5 && i < 9 {
			n += v
		}
	}
	return n
}
