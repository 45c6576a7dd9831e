/* Users, groups, hosts, services and protocols are looked up in the files of /etc, and in nothing else. The C library's
 * own lookups, in a static program of glibc's, load libraries of the host's for it, of the very version that the program
 * was linked with; these take their place at the link. Linux is all that they know. */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#define getnameinfo declared /* its last argument was unsigned in older glibcs */
#include <netdb.h>
#undef getnameinfo
#include <netinet/in.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef ETC
#define ETC "/etc"
#endif

enum { FIELDS = 32, LINE = 4096 };

/* Reads a line without its end: 1, 0 at the end of the file, -1 when it does not fit. */
static int line(FILE *f, char *buf, size_t n)
{
	size_t l;
	if (n < 2 || !fgets(buf, n > 65536 ? 65536 : (int)n, f))
		return n < 2 ? -1 : 0;
	l = strlen(buf);
	if (l && buf[l - 1] == '\n')
		buf[l - 1] = 0;
	else if (!feof(f))
		return -1;
	return 1;
}

/* Cuts a line at each colon. */
static int colons(char *s, char **v, int max)
{
	int n = 0;
	for (;;) {
		v[n++] = s;
		if (n == max || !(s = strchr(s, ':')))
			return n;
		*s++ = 0;
	}
}

/* Cuts a line into words, up to a comment. */
static int words(char *s, char **v, int max)
{
	int n = 0;
	char *save = 0;
	s[strcspn(s, "#")] = 0;
	for (s = strtok_r(s, " \t\r", &save); s && n < max; s = strtok_r(0, " \t\r", &save))
		v[n++] = s;
	return n;
}

static int is(const char *name, char **v, int n)
{
	while (n-- > 0)
		if (!strcmp(name, v[n]))
			return 1;
	return 0;
}

static int user(const char *name, uid_t uid, struct passwd *p, char *buf, size_t n, struct passwd **found)
{
	char *v[7];
	int got;
	FILE *f = fopen(ETC "/passwd", "r");
	*found = 0;
	if (!f)
		return errno == ENOENT ? 0 : errno;
	while (!*found && (got = line(f, buf, n)) > 0) {
		if (colons(buf, v, 7) < 7 || (name ? strcmp(name, v[0]) != 0 : strtoul(v[2], 0, 10) != uid))
			continue;
		memset(p, 0, sizeof *p);
		p->pw_name = v[0], p->pw_passwd = v[1], p->pw_uid = strtoul(v[2], 0, 10), p->pw_gid = strtoul(v[3], 0, 10);
		p->pw_gecos = v[4], p->pw_dir = v[5], p->pw_shell = v[6];
		*found = p;
	}
	fclose(f);
	return !*found && got < 0 ? ERANGE : 0;
}

static int group(const char *name, gid_t gid, struct group *g, char *buf, size_t n, struct group **found)
{
	char *v[4], *s, *save = 0, **members;
	int got, i = 0;
	FILE *f = fopen(ETC "/group", "r");
	*found = 0;
	if (!f)
		return errno == ENOENT ? 0 : errno;
	while ((got = line(f, buf, n)) > 0) {
		if (colons(buf, v, 4) < 4 || (name ? strcmp(name, v[0]) != 0 : strtoul(v[2], 0, 10) != gid))
			continue;
		/* The pointers to the members stand behind the line, which is cut at its commas. */
		s = v[3] + strlen(v[3]) + 1;
		members = (char **)(((uintptr_t)s + sizeof *members - 1) & ~(uintptr_t)(sizeof *members - 1));
		for (s = strtok_r(v[3], ",", &save);; s = strtok_r(0, ",", &save)) {
			if ((char *)(members + i + 1) > buf + n) {
				got = -1;
				break;
			}
			members[i] = s;
			if (!members[i++])
				break;
		}
		if (got > 0)
			g->gr_name = v[0], g->gr_passwd = v[1], g->gr_gid = strtoul(v[2], 0, 10), g->gr_mem = members, *found = g;
		break;
	}
	fclose(f);
	return got < 0 ? ERANGE : 0;
}

int getpwnam_r(const char *name, struct passwd *p, char *buf, size_t n, struct passwd **r) { return user(name, 0, p, buf, n, r); }
int getpwuid_r(uid_t uid, struct passwd *p, char *buf, size_t n, struct passwd **r) { return user(0, uid, p, buf, n, r); }
int getgrnam_r(const char *name, struct group *g, char *buf, size_t n, struct group **r) { return group(name, 0, g, buf, n, r); }
int getgrgid_r(gid_t gid, struct group *g, char *buf, size_t n, struct group **r) { return group(0, gid, g, buf, n, r); }

static struct passwd thePasswd;
static struct group theGroup;
static char theBuffer[65536];

struct passwd *getpwnam(const char *name)
{
	struct passwd *r;
	errno = user(name, 0, &thePasswd, theBuffer, sizeof theBuffer, &r);
	return r;
}

struct passwd *getpwuid(uid_t uid)
{
	struct passwd *r;
	errno = user(0, uid, &thePasswd, theBuffer, sizeof theBuffer, &r);
	return r;
}

struct group *getgrnam(const char *name)
{
	struct group *r;
	errno = group(name, 0, &theGroup, theBuffer, sizeof theBuffer, &r);
	return r;
}

struct group *getgrgid(gid_t gid)
{
	struct group *r;
	errno = group(0, gid, &theGroup, theBuffer, sizeof theBuffer, &r);
	return r;
}

int getgrouplist(const char *name, gid_t first, gid_t *groups, int *n)
{
	char buf[65536], *v[4], *s, *save;
	int room = *n, count = 0, got;
	gid_t gid;
	FILE *f = fopen(ETC "/group", "r");
	if (count++ < room)
		groups[0] = first;
	while (f && (got = line(f, buf, sizeof buf)) != 0) {
		if (got < 0 || colons(buf, v, 4) < 4)
			continue;
		gid = strtoul(v[2], 0, 10);
		for (save = 0, s = strtok_r(v[3], ",", &save); s; s = strtok_r(0, ",", &save))
			if (!strcmp(s, name) && gid != first) {
				if (count++ < room)
					groups[count - 1] = gid;
				break;
			}
	}
	if (f)
		fclose(f);
	*n = count;
	return count > room ? -1 : count;
}

static char netLine[LINE], *netWords[FIELDS + 1];

static struct protoent *protocol(const char *name, int number)
{
	static struct protoent p;
	struct protoent *r = 0;
	int n;
	FILE *f = fopen(ETC "/protocols", "r");
	while (f && !r && line(f, netLine, sizeof netLine) > 0) {
		n = words(netLine, netWords, FIELDS);
		if (n < 2 || (name ? !is(name, netWords, 1) && !is(name, netWords + 2, n - 2) : atoi(netWords[1]) != number))
			continue;
		netWords[n] = 0;
		p.p_name = netWords[0], p.p_proto = atoi(netWords[1]), p.p_aliases = netWords + 2;
		r = &p;
	}
	if (f)
		fclose(f);
	return r;
}

struct protoent *getprotobyname(const char *name) { return protocol(name, 0); }
struct protoent *getprotobynumber(int number) { return protocol(0, number); }

static struct servent *service(const char *name, int port, const char *proto)
{
	static struct servent s;
	struct servent *r = 0;
	char *at;
	int n;
	FILE *f = fopen(ETC "/services", "r");
	while (f && !r && line(f, netLine, sizeof netLine) > 0) {
		n = words(netLine, netWords, FIELDS);
		if (n < 2 || !(at = strchr(netWords[1], '/')))
			continue;
		*at++ = 0;
		if ((proto && strcmp(proto, at)) || (name ? !is(name, netWords, 1) && !is(name, netWords + 2, n - 2) : htons(atoi(netWords[1])) != port))
			continue;
		netWords[n] = 0;
		s.s_name = netWords[0], s.s_port = htons(atoi(netWords[1])), s.s_proto = at, s.s_aliases = netWords + 2;
		r = &s;
	}
	if (f)
		fclose(f);
	return r;
}

struct servent *getservbyname(const char *name, const char *proto) { return service(name, 0, proto); }
struct servent *getservbyport(int port, const char *proto) { return service(0, port, proto); }

/* Networks have had no names for decades. */
struct netent *getnetbyname(const char *name) { (void)name; return 0; }
struct netent *getnetbyaddr(uint32_t net, int type) { (void)net; (void)type; return 0; }

/* Puts an address before *list. */
static int put(struct addrinfo **list, int family, const void *addr, int port, const struct addrinfo *hints)
{
	struct {
		struct addrinfo info;
		struct sockaddr_storage addr;
	} *a = calloc(1, sizeof *a);
	if (!a)
		return EAI_MEMORY;
	if (family == AF_INET) {
		struct sockaddr_in *in = (void *)&a->addr;
		in->sin_family = AF_INET, in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr, sizeof in->sin_addr);
		a->info.ai_addrlen = sizeof *in;
	} else {
		struct sockaddr_in6 *in = (void *)&a->addr;
		in->sin6_family = AF_INET6, in->sin6_port = htons(port);
		memcpy(&in->sin6_addr, addr, sizeof in->sin6_addr);
		a->info.ai_addrlen = sizeof *in;
	}
	a->info.ai_family = family, a->info.ai_addr = (void *)&a->addr;
	a->info.ai_socktype = hints ? hints->ai_socktype : 0, a->info.ai_protocol = hints ? hints->ai_protocol : 0;
	a->info.ai_next = *list;
	*list = &a->info;
	return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
	while (a) {
		struct addrinfo *next = a->ai_next;
		free(a);
		a = next;
	}
}

int getaddrinfo(const char *node, const char *name, const struct addrinfo *hints, struct addrinfo **list)
{
	static const int families[] = { AF_INET6, AF_INET }; /* the last that is put comes first */
	int family = hints ? hints->ai_family : AF_UNSPEC, flags = hints ? hints->ai_flags : 0, port = 0, err = 0, i, n;
	unsigned char addr[16];
	char buf[LINE], *v[FIELDS], *end;
	FILE *f;
	*list = 0;
	if (family != AF_UNSPEC && family != AF_INET && family != AF_INET6)
		return EAI_FAMILY;
	if (!node && !name)
		return EAI_NONAME;
	if (name) {
		port = strtoul(name, &end, 10);
		if (!*name || *end) {
			int udp = hints && hints->ai_socktype == SOCK_DGRAM, any = !hints || !hints->ai_socktype;
			struct servent *s = getservbyname(name, any ? 0 : udp ? "udp" : "tcp");
			if (!s)
				return EAI_SERVICE;
			port = ntohs(s->s_port);
		}
	}
	for (i = 0; i < 2 && !err; i++) {
		int of = families[i];
		if (family != AF_UNSPEC && family != of)
			continue;
		if (!node)
			inet_pton(of, of == AF_INET6 ? (flags & AI_PASSIVE ? "::" : "::1") : (flags & AI_PASSIVE ? "0.0.0.0" : "127.0.0.1"), addr);
		if (!node || inet_pton(of, node, addr) == 1)
			err = put(list, of, addr, port, hints);
	}
	if (!*list && !err && !(flags & AI_NUMERICHOST) && (f = fopen(ETC "/hosts", "r"))) {
		while (!err && line(f, buf, sizeof buf) > 0) {
			n = words(buf, v, FIELDS);
			for (i = 0; i < 2 && !err; i++)
				if (n > 1 && (family == AF_UNSPEC || family == families[i]) && is(node, v + 1, n - 1) && inet_pton(families[i], v[0], addr) == 1)
					err = put(list, families[i], addr, port, hints);
		}
		fclose(f);
	}
	if (err)
		freeaddrinfo(*list);
	return err ? err : *list ? 0 : EAI_NONAME;
}

int getnameinfo(const struct sockaddr *a, socklen_t l, char *host, socklen_t nhost, char *serv, socklen_t nserv, int flags)
{
	const struct sockaddr_in *in = (const void *)a;
	const struct sockaddr_in6 *in6 = (const void *)a;
	int six = a->sa_family == AF_INET6;
	if ((!six && a->sa_family != AF_INET) || l < (six ? sizeof *in6 : sizeof *in))
		return EAI_FAMILY;
	if (flags & NI_NAMEREQD)
		return EAI_NONAME;
	if (host && nhost && !inet_ntop(a->sa_family, six ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr, host, nhost))
		return EAI_OVERFLOW;
	if (serv && nserv && snprintf(serv, nserv, "%d", ntohs(six ? in6->sin6_port : in->sin_port)) >= (int)nserv)
		return EAI_OVERFLOW;
	return 0;
}

const char *gai_strerror(int code)
{
	switch (code) {
	case EAI_NONAME: return "no such name in /etc/hosts";
	case EAI_SERVICE: return "no such service in /etc/services";
	case EAI_FAMILY: return "unknown family of addresses";
	case EAI_MEMORY: return "out of memory";
	}
	return "error";
}
