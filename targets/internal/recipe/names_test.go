package recipe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const namesDriver = `
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void address(const char *node, const char *name, int family, int flags)
{
	struct addrinfo hints = { .ai_family = family, .ai_flags = flags }, *list, *a;
	int err = getaddrinfo(node, name, &hints, &list);
	char host[64], serv[16];
	printf("%s %s:", node ? node : "-", name ? name : "-");
	if (err)
		printf(" %s", gai_strerror(err));
	for (a = err ? 0 : list; a; a = a->ai_next) {
		err = getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, serv, sizeof serv,
			NI_NUMERICHOST | NI_NUMERICSERV);
		printf(" %s %s%s", host, serv, err ? "!" : "");
	}
	puts("");
	if (!err)
		freeaddrinfo(list);
}

int main(void)
{
	struct passwd p, *pr;
	struct group g, *gr, *gs;
	char small[16], buf[4096], tight[64];
	gid_t groups[8];
	int n, i;
	struct servent *s;
	struct protoent *o;
	pr = getpwnam("dbus");
	printf("dbus: %d %d %s %s\n", pr ? (int)pr->pw_uid : -1, pr ? (int)pr->pw_gid : -1,
		pr ? pr->pw_dir : "", pr ? pr->pw_shell : "");
	printf("nobody: %s\n", getpwnam("nobody") ? "there" : "not there");
	pr = getpwuid(0);
	printf("0: %s\n", pr ? pr->pw_name : "not there");
	i = getpwnam_r("dbus", &p, small, sizeof small, &pr);
	printf("a buffer that is too small: %s\n", i == ERANGE && !pr ? "ERANGE" : "taken");
	gs = getgrgid(999);
	printf("999: %s\n", gs ? gs->gr_name : "not there");
	i = getgrnam_r("docker", &g, buf, sizeof buf, &gr);
	printf("docker: %d", i);
	for (i = 0; gr && gr->gr_mem[i]; i++)
		printf(" %s", gr->gr_mem[i]);
	puts("");
	i = getgrnam_r("docker", &g, tight, strlen("docker:x:999:ann,dbus,zoe") + 9, &gr);
	printf("no room for the members: %s\n", i == ERANGE && !gr ? "ERANGE" : "taken");
	n = 8;
	i = getgrouplist("dbus", 81, groups, &n);
	printf("groups: %d: %d %d %d\n", i, (int)groups[0], (int)groups[1], (int)groups[2]);
	n = 1;
	i = getgrouplist("dbus", 81, groups, &n);
	printf("groups, too many: %d %d\n", i, n);
	s = getservbyname("www", "tcp");
	printf("www: %d %s %s\n", s ? ntohs(s->s_port) : -1, s ? s->s_name : "", s ? s->s_proto : "");
	printf("www/udp: %s\n", getservbyname("www", "udp") ? "there" : "not there");
	s = getservbyport(htons(53), "udp");
	printf("53/udp: %s\n", s ? s->s_name : "not there");
	o = getprotobyname("UDP");
	printf("UDP: %d\n", o ? o->p_proto : -1);
	o = getprotobynumber(6);
	printf("6: %s\n", o ? o->p_name : "not there");
	address("127.0.0.1", "80", AF_UNSPEC, 0);
	address("fd98::1", "http", AF_INET6, 0);
	address("fd98::1", 0, AF_INET, 0);
	address("ship", 0, AF_UNSPEC, 0);
	address("ship", 0, AF_INET, 0);
	address("ship", 0, AF_UNSPEC, AI_NUMERICHOST);
	address("sea", 0, AF_UNSPEC, 0);
	address(0, "99", AF_UNSPEC, AI_PASSIVE);
	address(0, "gopher", AF_UNSPEC, 0);
	return 0;
}
`

const namesWant = `dbus: 81 81 / /bin/false
nobody: not there
0: root
a buffer that is too small: ERANGE
999: docker
docker: 0 ann dbus zoe
no room for the members: ERANGE
groups: 3: 81 999 7
groups, too many: -1 3
www: 80 http tcp
www/udp: not there
53/udp: domain
UDP: 17
6: tcp
127.0.0.1 80: 127.0.0.1 80
fd98::1 http: fd98::1 80
fd98::1 -: no such name in /etc/hosts
ship -: fd98::7 0 192.0.2.7 0
ship -: 192.0.2.7 0
ship -: no such name in /etc/hosts
sea -: no such name in /etc/hosts
- 99: 0.0.0.0 99 :: 99
- gopher: no such service in /etc/services
`

// What is linked before the C library answers from files, and brings nothing that would load a library at run time.
func TestNamesAreLookedUpInFilesAlone(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("no gcc")
	}
	dir := t.TempDir()
	for name, data := range map[string]string{
		"driver.c": namesDriver, "names.c": names,
		"passwd":    "root:x:0:0:root:/root:/bin/sh\nbroken:x\ndbus:x:81:81::/:/bin/false\n",
		"group":     "root:x:0:\ndbus:x:81:dbus\ndocker:x:999:ann,dbus,zoe\nlp:x:7:dbus",
		"services":  "# none\nhttp\t80/tcp www www-http # web\ndomain 53/tcp\ndomain 53/udp\n",
		"protocols": "ip 0 IP\ntcp 6 TCP\nudp 17 UDP # datagrams\n",
		"hosts":     "127.0.0.1 localhost\n192.0.2.7 ship.example ship\nfd98::7 ship\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(gcc, "-std=gnu99", "-Wall", "-Wextra", "-Werror", "-static", "-DETC=\""+dir+"\"", "-o",
		dir+"/driver", dir+"/driver.c", dir+"/names.c").CombinedOutput()
	if err != nil || len(out) > 0 { // the linker warns of what loads libraries
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	got, err := exec.Command(dir + "/driver").CombinedOutput()
	if err != nil || string(got) != namesWant {
		t.Fatalf("%v: got\n%s\nwant\n%s", err, got, namesWant)
	}
	data, err := os.ReadFile(dir + "/driver")
	if err != nil || strings.Contains(string(data), "libnss_") {
		t.Errorf("%v: the program names libnss_…", err)
	}
}
