package graph

// Job is a node with the times of its steps, for Simulate.
type Job struct {
	Name  string
	Needs []string
	Steps []StepTime
}

// Simulate gives the seconds that the jobs would take on a machine with some cores, with at most width jobs at a time
// and one exclusive step at a time, from step times that were measured on measured cores. A step is taken to be a
// serial part and a part that all cores share, which its wall and CPU time tell apart; steps that run side by side
// share the cores evenly. It knows nothing of caches, memory or disks.
func Simulate(jobs []Job, width, cores, measured int) float64 {
	type state struct {
		step int     // the step that runs or waits
		left float64 // share of it, 1 when it has not begun
		on   bool
		done bool
	}
	st := make([]state, len(jobs))
	index := map[string]int{}
	for i, j := range jobs {
		index[j.Name] = i
		st[i] = state{left: 1}
	}
	ready := func(j Job) bool {
		for _, n := range j.Needs {
			if k, ok := index[n]; ok && !st[k].done {
				return false
			}
		}
		return true
	}
	now, started := 0.0, make([]bool, len(jobs))
	for {
		// Start what can start, in the order of the list.
		active, exclusive, changed := 0, false, false
		for i := range jobs {
			if started[i] && !st[i].done {
				active++
			}
			if st[i].on && jobs[i].Steps[st[i].step].Exclusive {
				exclusive = true
			}
		}
		for i, j := range jobs {
			s := &st[i]
			if s.done || s.on {
				continue
			}
			if !started[i] {
				if active >= width || !ready(j) {
					continue
				}
				started[i] = true
				active++
			}
			if s.step == len(j.Steps) {
				s.done, changed = true, true
				active--
				continue
			}
			if j.Steps[s.step].Exclusive {
				if exclusive {
					continue
				}
				exclusive = true
			}
			s.on = true
		}
		// How fast each running step goes when they share the cores, and when the first of them ends.
		total, all := 0.0, true
		for i := range jobs {
			all = all && st[i].done
			if st[i].on {
				wall, cpu := onCores(jobs[i].Steps[st[i].step], cores, measured)
				total += cpu / wall
			}
		}
		if all {
			return now
		}
		slow := max(1, total/float64(cores))
		next := -1.0
		for i := range jobs {
			if st[i].on {
				wall, _ := onCores(jobs[i].Steps[st[i].step], cores, measured)
				if t := st[i].left * wall * slow; next < 0 || t < next {
					next = t
				}
			}
		}
		if next < 0 && !changed {
			return now // needs that never end
		}
		if next < 0 {
			continue // something ended without a step: look again at what can start
		}
		now += next
		for i := range jobs {
			if s := &st[i]; s.on {
				wall, _ := onCores(jobs[i].Steps[s.step], cores, measured)
				if s.left -= next / (wall * slow); s.left < 1e-9 {
					*s = state{step: s.step + 1, left: 1}
				}
			}
		}
	}
}

// onCores gives a step's wall time, alone on some cores, and its CPU time, both in seconds.
func onCores(s StepTime, cores, measured int) (wall, cpu float64) {
	wall = max(s.Seconds, 1e-3)
	cpu = max(s.CPU, 1e-3)
	if measured < 2 || cpu <= wall { // waiting, or nothing to share
		return wall, min(cpu, wall)
	}
	// wall = serial + shared/measured and cpu = serial + shared.
	shared := min(cpu, (cpu-wall)*float64(measured)/float64(measured-1))
	return max(1e-3, cpu-shared+shared/float64(cores)), cpu
}
