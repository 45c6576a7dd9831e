// Command decoy stands for dockerd where a service is tried: it writes its pid file and waits for its end.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	file := ""
	for i, a := range os.Args {
		switch {
		case a == "--validate":
			return
		case strings.HasPrefix(a, "--pidfile="):
			file = a[len("--pidfile="):]
		case i > 0 && os.Args[i-1] == "--pidfile":
			file = a
		}
	}
	if n, err := os.ReadFile("/var/run/slow"); err == nil && len(n) > 0 { // as often as it has bytes
		os.WriteFile("/var/run/slow", n[1:], 0o644)
		fmt.Println("failed to start containerd: timeout waiting for containerd to start")
		os.Exit(1)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGHUP)
	if err := os.WriteFile(file, []byte(fmt.Sprint(os.Getpid())), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("decoy", os.Args[1:])
	for s := range end {
		if fmt.Println(s); s == syscall.SIGTERM {
			break
		}
	}
	os.Remove(file)
}
