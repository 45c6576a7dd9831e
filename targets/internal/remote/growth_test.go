package remote

import (
	"math/rand/v2"
	"testing"
)

// measured are the parts of docker-26.1 as a cache has them: what is transferred, as "mage cache" lists it, in
// megabytes, the seconds of work that docs/run.svg has for each, and how likely a day's changes touch it, which is a
// guess.
var measured = []struct {
	name    string
	mb      float64
	seconds float64
	needs   []int // whose outputs are in its key
	changes float64
}{
	{"linux-headers", 1.8, 3, nil, 0}, {"musl", 0.9, 42, []int{0}, 0}, {"libseccomp", 0.1, 14, []int{1}, 0.02},
	{"tini", 0.05, 1, []int{1}, 0.01},
	{"runc", 10.7, 35, []int{2}, 0.12}, {"containerd", 27.8, 76, nil, 0.15}, {"dockerd", 59, 118, []int{1}, 0.5},
	{"docker-cli", 11.7, 87, nil, 0.2},
	{"package", 72.1, 8, []int{3, 4, 5, 6, 7}, 0},
}

// BenchmarkGrowth simulates a working year of 50 developers, who build four times a day, once of it with a change of
// their own, and 10 sites, which build each night; the nightly builder of one of them fills the cache. Changes reach
// the main line as often as measured says; twice a year a toolchain changes, and with it every key.
//
//	go test -run ^$ -bench Growth -benchtime 1x ./targets/internal/remote
func BenchmarkGrowth(b *testing.B) {
	const days, developers, builds, sites = 240, 50, 4, 10
	for b.Loop() {
		dice := rand.New(rand.NewPCG(1, 2))
		var stored, served, requests, hits, asked, saved, spent float64
		version := make([]int, len(measured)) // of the main line's keys
		stored += total()
		at := func() []int { return append([]int(nil), version...) }
		has := make([][]int, developers+sites) // what each machine has
		for i := range has {
			has[i] = make([]int, len(measured))
			for j := range has[i] {
				has[i][j] = -1
			}
		}
		next := 1
		for day := range days {
			changed := make([]bool, len(measured))
			for i, m := range measured {
				changed[i] = dice.Float64() < m.changes
			}
			if day%(days/2) == days/4 {
				for i := range changed {
					changed[i] = true
				}
			}
			for i, m := range measured {
				for _, n := range m.needs {
					changed[i] = changed[i] || changed[n]
				}
				if changed[i] {
					version[i], next = next, next+1
					stored += m.mb // the nightly builder pushes it
				}
			}
			for who := range has {
				n := builds
				if who >= developers {
					n = 1
				}
				for build := range n {
					want := at()
					if who < developers && build == n-1 { // dockerd with a change of their own: nobody has it
						want[6], want[8], next = -next, -next, next+1
					}
					for i, m := range measured {
						if has[who][i] == want[i] {
							continue
						}
						asked++
						requests++ // HEAD of a name
						if want[i] >= 0 {
							hits++
							requests += 4 // manifest, record, signature, a blob
							served, saved = served+m.mb, saved+m.seconds
						} else {
							spent += m.seconds
						}
						has[who][i] = want[i]
					}
				}
			}
		}
		b.ReportMetric(stored/1000, "GB-stored/year")
		b.ReportMetric(served/1000/days, "GB-served/day")
		b.ReportMetric(requests/days, "requests/day")
		b.ReportMetric(100*hits/asked, "%hits")
		b.ReportMetric(saved/3600/days, "hours-saved/day")
		b.ReportMetric(spent/3600/days, "hours-built/day")
	}
}

func total() (mb float64) {
	for _, m := range measured {
		mb += m.mb
	}
	return mb
}
