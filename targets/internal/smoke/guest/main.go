// Command guest is what runs inside the containers of the smoke test: one static program with many roles, chosen by its
// first argument. It needs nothing of the image but itself, and is written for every Go since 1.13.
package main

import (
	"bufio"
	"fmt"
	"io/ioutil" //lint:ignore SA1019 what replaces it came with Go 1.16
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

var roles = map[string]func(args []string) int{
	"print":  func(a []string) int { fmt.Println(strings.Join(a, " ")); return 0 },
	"both":   func(a []string) int { fmt.Println("out"); fmt.Fprintln(os.Stderr, "err"); return 0 },
	"exit":   func(a []string) int { return number(a[0]) },
	"env":    func(a []string) int { fmt.Println(os.Getenv(a[0])); return 0 },
	"cwd":    func(a []string) int { d, err := os.Getwd(); fmt.Println(d); return failed(err) },
	"whoami": func(a []string) int { fmt.Println(os.Getuid(), os.Getgid()); return 0 },
	"pid":    func(a []string) int { fmt.Println(os.Getpid()); return 0 },
	"cat":    cat,
	"write": func(a []string) int {
		return failed(ioutil.WriteFile(a[0], []byte(strings.Join(a[1:], " ")+"\n"), 0644))
	},
	"sleep":  func(a []string) int { time.Sleep(time.Duration(number(a[0])) * time.Second); return 0 },
	"tty":    tty,
	"signal": awaitSignal,
	"deaf":   deaf,
	"orphan": orphan,
	"forks":  forks,
	"eat":    eat,
	"burn":   burn,
	"calls":  calls,
	"listen": listen,
	"dial":   dial,
	"peer":   peer,
	"ask":    ask,
	"ifaces": ifaces,
	"count":  count,
	"append": appendLine,
}

func main() {
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "guest: no such role:", os.Args[1:])
		os.Exit(2)
	}
	os.Exit(roles[os.Args[1]](os.Args[2:]))
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(2)
	}
	return n
}

func failed(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		return 1
	}
	return 0
}

// cat prints files, or standard input.
func cat(files []string) int {
	if len(files) == 0 {
		files = []string{"/dev/stdin"}
	}
	for _, f := range files {
		data, err := ioutil.ReadFile(f)
		if err != nil {
			return failed(err)
		}
		os.Stdout.Write(data)
	}
	return 0
}

// tty says whether standard output is a terminal.
func tty([]string) int {
	var size [4]uint16
	_, _, e := syscall.Syscall(syscall.SYS_IOCTL, 1, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	fmt.Println(e == 0)
	return 0
}

// awaitSignal prints the signal that it gets and ends well.
func awaitSignal([]string) int {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP)
	fmt.Println("ready")
	fmt.Println("got", <-c)
	return 0
}

// deaf ignores what asks it to end.
func deaf([]string) int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	time.Sleep(time.Hour)
	return 0
}

// orphan starts a child that leaves a grandchild behind, and counts the zombies when both have ended: process 1 has
// adopted the grandchild and should have taken its status.
func orphan(args []string) int {
	if len(args) > 0 { // the child
		cmd := exec.Command("/guest", "exit", "0")
		err := cmd.Start()
		if err == nil {
			fmt.Println(cmd.Process.Pid)
		}
		return failed(err)
	}
	cmd := exec.Command("/guest", "orphan", "child")
	cmd.Stderr = os.Stderr
	pid, err := cmd.Output()
	if err != nil {
		return failed(err)
	}
	for i := 0; i < 200; i++ {
		if s := state("/proc/" + strings.TrimSpace(string(pid)) + "/stat"); s == "" || s == "Z" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	zombies := 0
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, s := range stats {
		if state(s) == "Z" {
			zombies++
		}
	}
	fmt.Println("zombies", zombies)
	return 0
}

// state is the letter that says what a process does; empty when it is gone.
func state(file string) string {
	data, err := ioutil.ReadFile(file)
	i := strings.LastIndex(string(data), ") ")
	if err != nil || i < 0 || i+3 > len(data) {
		return ""
	}
	return string(data[i+2 : i+3])
}

// forks makes processes until it has as many as asked or the kernel refuses, and says how many there were.
func forks(args []string) int {
	var pids []int
	var refused syscall.Errno
	for len(pids) < number(args[0]) {
		pid, _, e := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if e != 0 {
			refused = e
			break
		}
		if pid == 0 {
			for {
				syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0) // for ever; newer machines have no pause
			}
		}
		pids = append(pids, int(pid))
	}
	for _, p := range pids {
		syscall.Kill(p, syscall.SIGKILL)
	}
	fmt.Println("forks", len(pids), "refused", refused == syscall.EAGAIN)
	return 0
}

// eat takes megabytes of memory and touches each page.
func eat(args []string) int {
	var kept [][]byte
	for i := 0; i < number(args[0]); i++ {
		b := make([]byte, 1<<20)
		for j := 0; j < len(b); j += 4096 {
			b[j] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println("ate", len(kept))
	return 0
}

// burn keeps the processor busy for some milliseconds, and says how many of them it had. What runc used in this process
// before it became this program is not counted: an emulated processor spends a second there.
func burn(args []string) int {
	before, end := processorTime(), time.Now().Add(time.Duration(number(args[0]))*time.Millisecond)
	for n := 0; time.Now().Before(end); n++ {
	}
	fmt.Println("cpu", (processorTime() - before).Milliseconds())
	return 0
}

// processorTime is what this process has used since it was made.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// calls makes a system call that every kernel allows to everybody and Docker's default profile does not: personality
// with a flag.
func calls([]string) int {
	runtime.LockOSThread()
	const noRandomize = 0x0040000
	_, _, e := syscall.RawSyscall(syscall.SYS_PERSONALITY, noRandomize, 0, 0)
	if e != 0 {
		fmt.Println("refused:", e)
		return 0
	}
	fmt.Println("allowed")
	return 0
}

// listen answers each line on a port with the same line and a word.
func listen(args []string) int {
	l, err := net.Listen("tcp4", ":"+args[0])
	if err != nil {
		return failed(err)
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return failed(err)
		}
		go func() {
			defer c.Close()
			if line, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				fmt.Fprintf(c, "heard %s", line)
			}
		}()
	}
}

// dial sends a line to host:port and prints the answer.
func dial(args []string) int {
	c, err := net.DialTimeout("tcp", args[0], 5*time.Second)
	if err != nil {
		return failed(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintln(c, strings.Join(args[1:], " "))
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Print(line)
	return failed(err)
}

// peer answers each line on a port, of TCP and UDP, with the address that it comes from.
func peer(args []string) int {
	l, err := net.Listen("tcp", ":"+args[0])
	if err != nil {
		return failed(err)
	}
	p, err := net.ListenPacket("udp", ":"+args[0])
	if err != nil {
		return failed(err)
	}
	host := func(a net.Addr) string {
		h, _, _ := net.SplitHostPort(a.String())
		return h
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				os.Exit(failed(err))
			}
			p.WriteTo([]byte(host(from)+"\n"), from)
		}
	}()
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return failed(err)
		}
		go func() {
			defer c.Close()
			if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
				fmt.Fprintln(c, host(c.RemoteAddr()))
			}
		}()
	}
}

// ask sends a line to tcp or udp host:port and prints the answer, within three seconds.
func ask(args []string) int {
	for end := time.Now().Add(3 * time.Second); ; {
		c, err := net.DialTimeout(args[0], args[1], 3*time.Second)
		if err != nil {
			return failed(err)
		}
		c.SetDeadline(time.Now().Add(time.Second))
		fmt.Fprintln(c, "ahoy")
		line, err := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if err == nil || args[0] != "udp" || time.Now().After(end) { // a lost packet is sent again
			fmt.Print(line)
			return failed(err)
		}
	}
}

// ifaces prints the names of the network interfaces.
func ifaces([]string) int {
	is, err := net.Interfaces()
	var names []string
	for _, i := range is {
		names = append(names, i.Name)
	}
	fmt.Println(strings.Join(names, " "))
	return failed(err)
}

// count adds a line to a file, prints how many lines it has, and fails.
func count(args []string) int {
	n, _ := added(args[0], "run")
	fmt.Println("run", n)
	return 1
}

// appendLine adds a line to a file and prints how many it has.
func appendLine(args []string) int {
	n, err := added(args[0], strings.Join(args[1:], " "))
	fmt.Println("lines", n)
	return failed(err)
}

// added adds a line to a file and returns how many it has.
func added(file, line string) (int, error) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0644)
	if err != nil {
		return 0, err
	}
	fmt.Fprintln(f, line)
	f.Close()
	data, err := ioutil.ReadFile(file)
	return strings.Count(string(data), "\n"), err
}
