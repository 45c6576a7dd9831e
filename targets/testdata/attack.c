/* What a hostile build script may try. "GOT what" is said of each thing that it gets, "tried n" at the end.
   attack PORT SOCKET SECRET PLACE...: a port of the host's loopback, a socket in the file system, a file with a secret,
   and directories and files that are not its own: what lies beside the secret is the test's, and may suffer where it gets
   at it; of the rest it only asks. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int tried;

static void got(int yes, const char *what, const char *where) {
	tried++;
	if (yes)
		printf("GOT %s %s\n", what, where);
	fflush(stdout);
}

static int reaches(int port) {
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int s = socket(AF_INET, SOCK_STREAM, 0), ok = s >= 0 && connect(s, (void *)&a, sizeof a) == 0;
	close(s);
	return ok;
}

static int speaks(const char *path, int abstract) {
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	strncpy(a.sun_path + abstract, path, sizeof a.sun_path - 2);
	int ok = s >= 0 && connect(s, (void *)&a, offsetof(struct sockaddr_un, sun_path) + abstract + strlen(path)) == 0;
	close(s);
	return ok;
}

static int contains(const char *path, const char *word) {
	static char buf[1 << 20];
	int f = open(path, O_RDONLY), n = f < 0 ? -1 : read(f, buf, sizeof buf - 1);
	close(f);
	return n > 0 && memmem(buf, n, word, strlen(word)) != NULL;
}

/* A process that is not its own: everything that can be had through it. */
static void process(const char *pid, int port, const char *path, const char *secret) {
	char p[600];
	int us = atoi(pid) == getpid() || atoi(pid) == getppid() || getpgid(atoi(pid)) == getpgrp();
	snprintf(p, sizeof p, "/proc/%s/environ", pid);
	got(contains(p, "SIGN_KEY="), "an environment with SIGN_KEY:", p);
	if (us)
		return;
	got(1, "a process of the host:", p);
	snprintf(p, sizeof p, "/proc/%s/mem", pid);
	got(open(p, O_RDWR) >= 0, "memory:", p);
	snprintf(p, sizeof p, "/proc/%s/root%s", pid, secret);
	got(contains(p, "secret"), "the secret through", p);
	snprintf(p, sizeof p, "/proc/%s/cwd/..", pid);
	got(open(p, O_RDONLY) >= 0, "a directory:", p);
	got(ptrace(PTRACE_SEIZE, atoi(pid), 0, 0) == 0, "ptrace of", pid);
	char word[8];
	struct iovec l = {word, 8}, r = {(void *)0x400000, 8};
	got(syscall(SYS_process_vm_readv, atoi(pid), &l, 1, &r, 1, 0) > 0, "memory by process_vm_readv:", pid);
	got(kill(atoi(pid), 0) == 0, "to send signals to", pid);
	const char *ns[] = {"net", "mnt", "pid", "ipc", "uts", "user"};
	for (int i = 0; i < 6; i++) {
		if (fork() == 0) {
			snprintf(p, sizeof p, "/proc/%s/ns/%s", pid, ns[i]);
			int f = open(p, O_RDONLY);
			got(f >= 0 && setns(f, 0) == 0, "the namespace", p);
			got(reaches(port) || speaks(path, 0), "host's loopback or socket through", p);
			_exit(0);
		}
		wait(NULL);
	}
}

static void place(const char *dir, const char *secret) {
	char p[600];
	struct stat st;
	if (strncmp(dir, secret, strrchr(secret, '/') - secret)) {
		got(access(dir, W_OK) == 0, "to write to", dir);
		return;
	}
	snprintf(p, sizeof p, "%s/planted", dir);
	close(open(p, O_CREAT | O_WRONLY, 0644)); /* whether it is there is looked at from outside */
	snprintf(p, sizeof p, "%s/planted.d", dir);
	mkdir(p, 0755);
	int there = stat(dir, &st) == 0;
	got(there && !S_ISDIR(st.st_mode) && open(dir, O_WRONLY) >= 0, "to write to", dir);
	got(there && !S_ISDIR(st.st_mode) && truncate(dir, 0) == 0, "to truncate", dir);
	chmod(dir, st.st_mode | 02);
	utimensat(AT_FDCWD, dir, NULL, 0);
	got(there && rename(dir, "stolen") == 0, "to rename", dir);
	got(there && !S_ISDIR(st.st_mode) && (link(dir, "linked") == 0 || unlink(dir) == 0), "to link or remove", dir);
}

static int child(void *p) { return (void)p, 0; }

int main(int n, char **v) {
	static char stack[1 << 16];
	char name[600];
	int port = atoi(v[1]);
	const char *path = v[2], *secret = v[3];

	got(reaches(port), "the host's loopback", "");
	got(speaks(path, 0), "the socket", path);
	got(speaks(path, 1), "an abstract socket", "");
	const int families[] = {AF_UNIX, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_KEY};
	for (int i = 0; i < 6; i++) {
		snprintf(name, sizeof name, "%d", families[i]);
		got(socket(families[i], SOCK_DGRAM, 0) >= 0 || socket(families[i], SOCK_RAW, 0) >= 0 || socket(families[i], SOCK_SEQPACKET, 0) >= 0, "a socket of family", name);
	}

	DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));)
		if (atoi(e->d_name) > 0)
			process(e->d_name, port, path, secret);

	got(contains(secret, "secret"), "the secret", secret);
	for (int i = 4; i < n; i++)
		place(v[i], secret);
	const char *odd[] = {"/etc/shadow", "/etc/passwd", "/root", "/home", "/run", "/var", "/sys", "/boot", "/dev/tty", "/dev/ptmx", "/dev/shm", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/net/tun", "/dev/kvm"};
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		got(open(odd[i], O_RDONLY) >= 0, "", odd[i]);
	const char *knobs[] = {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/sys/net/ipv4/ip_forward", "/proc/kcore", "/proc/1/mem/"};
	for (size_t i = 0; i < sizeof knobs / sizeof *knobs; i++)
		got(open(knobs[i], O_WRONLY) >= 0, "to write to", knobs[i]);

	mkdir("m", 0755);
	got(mount("none", "m", "tmpfs", 0, NULL) == 0, "a mount", "");
	got(mount("/", "m", NULL, MS_BIND | MS_REC, NULL) == 0, "a bind mount", "");
	got(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL) == 0, "a writable /usr", "");
	got(umount2("m", MNT_DETACH) == 0 || umount2(".", MNT_DETACH) == 0 || umount2("/tmp", 0) == 0, "an unmount", "");
	got(chroot(".") == 0, "a chroot", "");
	got(syscall(SYS_pivot_root, ".", ".") == 0, "another root", "");
	got(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0 || mknod("disk", S_IFBLK | 0666, makedev(254, 0)) == 0, "a device", "");
	got(unshare(CLONE_NEWUSER) == 0 || unshare(CLONE_NEWNS) == 0, "a namespace", "");
	int pid = clone(child, stack + sizeof stack, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, NULL);
	got(pid > 0, "a user namespace", "");
	pid = clone(child, stack + sizeof stack, CLONE_NEWNET | SIGCHLD, NULL);
	got(pid > 0, "a network namespace", "");
	gethostname(name, sizeof name);
	got(sethostname(name, strlen(name)) == 0, "to set the host's name", "");
	got(setuid(geteuid() + 1) == 0 || setgid(getegid() + 1) == 0, "another user", "");
	got(chown(".", geteuid() + 1, -1) == 0, "to give files away", "");
	got(syscall(SYS_keyctl, 0, -3, 0) >= 0 || syscall(SYS_add_key, "user", "k", "v", 1, -3) >= 0, "a keyring", "");
	got(syscall(SYS_bpf, 0, NULL, 0) >= 0 || errno != EPERM, "bpf", "");
	got(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) >= 0 || errno != EPERM, "perf events", "");
	got(syscall(SYS_userfaultfd, 1) >= 0, "userfaultfd", "");
	got(syscall(425, 8, stack) >= 0 || errno != ENOSYS, "io_uring", "");
	got(syscall(SYS_open_by_handle_at, AT_FDCWD, stack, 0) >= 0 || errno != EPERM, "files by handle", "");
	got(syscall(SYS_iopl, 3) == 0, "the machine's ports", "");
	for (int f = 3; f < 64; f++) {
		snprintf(name, sizeof name, "/proc/self/fd/%d", f);
		int l = readlink(name, name, sizeof name - 1);
		name[l < 0 ? 0 : l] = 0;
		got(l > 0 && strcmp(name, "/proc"), "a descriptor:", name);
	}
	got(isatty(0) || isatty(1) || isatty(2), "a terminal", "");
	printf("tried %d\n", tried);
	return 0;
}
