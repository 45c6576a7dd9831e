package graph

import "slices"

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
	s := &simulation{jobs: jobs, at: make([]position, len(jobs)), width: width, cores: cores, measured: measured}
	for i := range s.at {
		s.at[i].left = 1
	}
	for now := 0.0; ; {
		ended := s.start()
		next, slow := s.soonest()
		switch {
		case next >= 0:
			now += next
			s.pass(next, slow)
		case !ended: // all did, or needs that never end
			return now
		}
	}
}

// simulation is jobs on their way, in the order of their list.
type simulation struct {
	jobs                   []Job
	at                     []position
	width, cores, measured int
}

// position is how far a job is.
type position struct {
	step        int     // the step that runs or waits
	left        float64 // share of it, 1 when it has not begun
	on          bool    // it runs
	begun, done bool    // the job
}

// ready reports whether all that a job needs is done.
func (s *simulation) ready(j Job) bool {
	for i, other := range s.jobs {
		if slices.Contains(j.Needs, other.Name) && !s.at[i].done {
			return false
		}
	}
	return true
}

// start starts what can start, and reports whether a job ended without another step.
func (s *simulation) start() (ended bool) {
	active, exclusive := 0, false
	for i, p := range s.at {
		if p.begun && !p.done {
			active++
		}
		exclusive = exclusive || p.on && s.jobs[i].Steps[p.step].Exclusive
	}
	for i, j := range s.jobs {
		p := &s.at[i]
		if p.done || p.on || !p.begun && (active >= s.width || !s.ready(j)) {
			continue
		}
		if !p.begun {
			p.begun = true
			active++
		}
		switch {
		case p.step == len(j.Steps):
			p.done, ended = true, true
			active--
		case !j.Steps[p.step].Exclusive:
			p.on = true
		case !exclusive:
			p.on, exclusive = true, true
		}
	}
	return ended
}

// soonest returns in how many seconds the first of the running steps ends, negative where none runs, and by what factor
// all are slower for they share the cores.
func (s *simulation) soonest() (next, slow float64) {
	next = -1
	total := 0.0
	for i, p := range s.at {
		if p.on {
			wall, cpu := onCores(s.jobs[i].Steps[p.step], s.cores, s.measured)
			total += cpu / wall
			if t := p.left * wall; next < 0 || t < next {
				next = t
			}
		}
	}
	slow = max(1, total/float64(s.cores))
	return next * slow, slow
}

// pass lets time pass.
func (s *simulation) pass(seconds, slow float64) {
	for i := range s.at {
		if p := &s.at[i]; p.on {
			wall, _ := onCores(s.jobs[i].Steps[p.step], s.cores, s.measured)
			if p.left -= seconds / (wall * slow); p.left < 1e-9 {
				*p = position{step: p.step + 1, left: 1, begun: true}
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
