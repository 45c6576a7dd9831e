package engine

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"drydock/targets/internal/archive"
	"drydock/targets/internal/graph"
)

// ranFile is what a run leaves beside its logs.
const ranFile = "run.json"

// ran is one run that did something.
type ran struct {
	Start   time.Time `json:"start"`
	Seconds float64   `json:"seconds"`
	Command string    `json:"command"`
	Cores   int       `json:"cores"`
	Parts   []part    `json:"parts"`
	// Busy are how many cores of the machine were busy, every Interval seconds.
	Busy     []float64 `json:"busy"`
	Interval float64   `json:"interval"`
}

// part is what a run did with one component.
type part struct {
	Name    string           `json:"name"`
	Needs   []string         `json:"needs,omitempty"`
	Status  graph.Status     `json:"status"`
	Why     string           `json:"why,omitempty"`
	Seconds float64          `json:"seconds"`
	Steps   []graph.StepTime `json:"steps,omitempty"`
}

// remember writes what a run did beside its logs, if it did anything. That it cannot is no reason to fail a build.
func (e *Engine) remember(results []graph.Result, busy []float64) {
	did := func(r graph.Result) bool { return r.Status == graph.Built || r.Status == graph.Failed }
	if e.logs == "" && slices.ContainsFunc(results, did) { // packing alone logs nothing
		_, _ = e.logDir()
	}
	if e.logs == "" {
		return
	}
	r := ran{Start: e.progress.start.UTC(), Seconds: time.Since(e.progress.start).Seconds(), Command: strings.Join(append([]string{"mage"}, os.Args[1:]...), " "),
		Cores: e.cores(), Busy: busy, Interval: sampleEvery.Seconds()}
	for _, x := range results {
		p := part{Name: x.Name, Needs: e.needs(x.Name), Status: x.Status, Why: x.Why, Seconds: x.Seconds, Steps: x.Steps}
		r.Parts = append(r.Parts, p)
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = archive.WriteFile(filepath.Join(e.logs, ranFile), 0o644, func(w io.Writer) error { _, err := w.Write(data); return err })
	}
	if err != nil {
		e.UI.Line("note      this run's times are not kept: %v", err)
	}
}

// history reads the runs that are kept, oldest first.
func (e *Engine) history() []ran {
	files := archive.Glob(e.build("log"), "*/"+ranFile)
	slices.Sort(files)
	var rs []ran
	for _, file := range files {
		if filepath.Base(filepath.Dir(file)) == "latest" {
			continue
		}
		var r ran
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &r) == nil && r.Cores > 0 {
			rs = append(rs, r)
		}
	}
	slices.SortStableFunc(rs, func(a, b ran) int { return a.Start.Compare(b.Start) })
	return rs
}

const sampleEvery = 500 * time.Millisecond

// sampleCores notes how many cores of the machine are busy until the function that it gives is called.
func sampleCores() func() []float64 {
	quit := make(chan struct{})
	var busy []float64
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
				busy = append(busy, float64(int(now-before)*100/int(sampleEvery.Milliseconds()/10))/100)
				before = now
			}
		}
	})
	return func() []float64 { close(quit); wg.Wait(); return busy }
}

// jiffies are the ticks that all cores of the machine together were not idle.
func jiffies() (n int64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	for i, f := range strings.Fields(line) {
		if v, err := strconv.ParseInt(f, 10, 64); err == nil && i != 4 && i != 5 && i < 9 { // not idle, not waiting; guests are in user
			n += v
		}
	}
	return n
}
