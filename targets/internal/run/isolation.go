package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// The parts of what confines a child. Each may be refused by the kernel, or by what this process itself is confined to.
const (
	Network    = "network"    // a network namespace with nothing in it
	Processes  = "processes"  // none but its own: a namespace, and a /proc of it
	Files      = "files"      // a root with what it is given, and little of that writable
	User       = "user"       // another user, where root starts it
	Privileges = "privileges" // no capability, no way to get one, and a filter of system calls
)

// Parts are all of them, in the order in which they are told of.
var Parts = []string{Network, Processes, Files, User, Privileges}

// namespaces are those of a child, with the part that cannot be had without.
var namespaces = []struct {
	part string
	flag uintptr
}{{Network, unix.CLONE_NEWNET}, {Processes, unix.CLONE_NEWPID}, {Files, unix.CLONE_NEWNS},
	{"", unix.CLONE_NEWIPC}, {"", unix.CLONE_NEWUTS}}

// Isolation is what this machine lets children be confined by.
type Isolation struct {
	Refused map[string]string // by part that cannot be had: what the kernel answered
	flags   uintptr           // of clone: the namespaces
}

// RefusedError says that children would not be confined as they should.
type RefusedError struct{ Isolation Isolation }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("this machine does not let build steps be confined: %s; "+
		"root can, and users where user namespaces are allowed; "+
		"ISOLATION=best-effort goes on with what is left, and trusts the sources with the rest", e.Isolation)
}

// String names the parts that are refused, and why.
func (i Isolation) String() string {
	var parts []string
	for _, p := range Parts {
		if why, ok := i.Refused[p]; ok {
			parts = append(parts, p+": "+why)
		}
	}
	return strings.Join(parts, "; ")
}

// BestEffort reports whether the user takes what there is.
func BestEffort() bool { return os.Getenv("ISOLATION") == "best-effort" }

// Allowed returns a *RefusedError where a part is refused and the user did not allow that.
func (i Isolation) Allowed() error {
	if len(i.Refused) == 0 || BestEffort() {
		return nil
	}
	return &RefusedError{i}
}

// Isolated finds out once, by trying, what this machine allows. It starts a process.
var Isolated = sync.OnceValue(func() Isolation {
	i := Isolation{Refused: map[string]string{}}
	if err := i.clone(); err != nil {
		for _, ns := range namespaces {
			if i.flags&ns.flag == 0 && ns.part != "" {
				i.Refused[ns.part] = "a namespace: " + cause(err)
			}
		}
	}
	if i.flags&unix.CLONE_NEWNS == 0 { // a /proc cannot be mounted for itself alone
		i.Refused[Processes] = i.Refused[Files]
	}
	for {
		err := i.try()
		var p *partError
		if !errors.As(err, &p) || i.Refused[p.Part] != "" {
			if err != nil { // it cannot even be started
				for _, part := range Parts {
					i.Refused[part] = cause(err)
				}
			}
			return i
		}
		i.Refused[p.Part] = p.Error() // the next try goes without it
	}
})

// cause is the kernel's answer to who wanted to start a process.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// clone finds the namespaces that can be had: all, or where not all can, those that can be had alone. The error is
// the kernel's to all together.
func (i *Isolation) clone() (refused error) {
	users := []uintptr{unix.CLONE_NEWUSER}
	if os.Geteuid() == 0 {
		users = []uintptr{0, unix.CLONE_NEWUSER} // root in a container may be nobody to the kernel
	}
	starts := func(flags uintptr) error { return Isolation{flags: flags, Refused: refuseAll}.try() }
	for _, user := range users {
		i.flags = user
		for _, ns := range namespaces {
			i.flags |= ns.flag
		}
		if refused = starts(i.flags); refused == nil {
			return nil
		}
	}
	for _, user := range users {
		i.flags = user
		for _, ns := range namespaces {
			if starts(user|ns.flag) == nil {
				i.flags |= ns.flag
			}
		}
		if i.flags != user {
			return refused
		}
	}
	i.flags = 0
	return refused
}

// refuseAll leaves a child with nothing but its namespaces.
var refuseAll = map[string]string{Network: "-", Processes: "-", Files: "-", User: "-", Privileges: "-"}

// try starts a child that ends when it is confined.
func (i Isolation) try() error {
	s := &Sandbox{}
	o := order{Parts: i.parts(), UID: i.uid(s)}
	cmd, st, err := i.child(o)
	if err != nil {
		return err
	}
	defer st.close()
	cmd.Env = []string{}
	err = cmd.Start()
	st.started()
	if err == nil {
		err = cmd.Wait()
	}
	return st.or(err)
}

func (i Isolation) parts() []string {
	return slices.DeleteFunc(slices.Clone(Parts), func(p string) bool { return i.Refused[p] != "" })
}

// uid is the user that children become; 0 where they stay who starts them. Without a root of their own, what they
// work on must be in everybody's reach.
func (i Isolation) uid(s *Sandbox) int {
	if os.Geteuid() != 0 || i.Refused[User] != "" {
		return 0
	}
	if i.Refused[Files] != "" && slices.ContainsFunc(slices.Concat(s.Read, s.Write), secluded) {
		return 0
	}
	return BuildUser
}

// attributes are those of a child in the namespaces.
func (i Isolation) attributes() *syscall.SysProcAttr {
	// A session of its own has no terminal.
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: i.flags}
	if i.flags&unix.CLONE_NEWUSER != 0 {
		// Root's capabilities, which are for these namespaces alone, outlast an exec; another user's do not.
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return a
}
