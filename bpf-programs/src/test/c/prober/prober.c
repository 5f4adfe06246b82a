// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * One program that plays client, server or intruder inside a cgroup of its own, for tests on a real
 * kernel. See HELP below, or run it with --help.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "weir/types.h"

static const char HELP[] =
	"usage: prober [--netns PATH] [--cgroup PATH] COMMAND ... [options]\n"
	"\n"
	"Prints one JSON object per line. A call that fails is a result, not an error: \"result\" is\n"
	"\"ok\" or the name of the errno, \"call\" the call that gave it, and the exit status is 0. Only\n"
	"wrong usage, or a cgroup or namespace that cannot be entered, ends with status 2.\n"
	"\n"
	"  --netns PATH         enter this network namespace first\n"
	"  --cgroup PATH        then enter this cgroup, before any socket is made\n"
	"  --birth-cgroup PATH  connect, sendto: make the socket there, then enter --cgroup and use it\n"
	"\n"
	"Servers print {\"listening\":PORT} when they are ready (PORT 0 takes any) and run until killed.\n"
	"  listen ADDR PORT     TCP. Answers each connection with one line, then half-closes, reads to\n"
	"                       the end of what comes and closes.\n"
	"      --reply TEXT       the line (default: ok)\n"
	"      --origin           the line is what WEIR_SO_ORIGIN says, as JSON\n"
	"      --echo             no line: sends back what comes\n"
	"      --also ADDR        the same port on a second address\n"
	"      --again            listens again, and prints {\"again\"}, when its listener was ended\n"
	"  adopt PATH           as listen, but the sockets come in at this Unix socket (SCM_RIGHTS); prints\n"
	"                       {\"adopted\":PORT,\"v6\"} for each\n"
	"      --backlog N        (default 4096)\n"
	"  hand-over PATH ADDR PORT  TCP. Makes a listener, passes it to who adopts at PATH (SCM_RIGHTS)\n"
	"                       and keeps it, as who starts services by their sockets does\n"
	"  udp-echo ADDR PORT   UDP. Answers each datagram (recvfrom, sendto) with --reply, or as it came,\n"
	"                       and prints {\"from\",\"reply\"}.\n"
	"      --third ADDR PORT  after each also sends one there and prints that result as \"third\"\n"
	"      --blind ADDR PORT  reads with recv(), without the sender's address, and answers there\n"
	"      --connected        connects to the first who sends, and answers with send()\n"
	"      --when PATH        prints {\"heard\"} and answers when this file is there\n"
	"      --join ADDR        member of this group, on --interface\n"
	"\n"
	"Clients\n"
	"  connect ADDR PORT    prints {\"result\",\"connect_us\",\"peer\",\"line\"}; with --count the sum:\n"
	"                       {\"connects\",\"outcomes\":{NAME:N}}, NAME being the line that was read,\n"
	"                       \"ok\", \"eof\" or an errno.\n"
	"      --count N          that many, one after the other\n"
	"      --read             read one line (or up to the end)\n"
	"      --send N           send N bytes first\n"
	"      --text TEXT        send this text and a line feed first\n"
	"      --peername         tell getpeername as \"peer\"\n"
	"      --bind-port P      from this port\n"
	"      --from ADDR        from this address\n"
	"      --udp              a connected UDP socket\n"
	"      --hold MS          keep it open that long, then read nothing more and close\n"
	"      --v6-socket        an IPv6 socket also for an IPv4 address (v4-mapped)\n"
	"      --print-first-byte-stats  same as --read, with --count\n"
	"  sendto ADDR PORT     an unconnected datagram; prints {\"result\",\"from\",\"line\"}\n"
	"      --count N --read --text TEXT --bind-port P --from ADDR\n"
	"      --connected        connect first, then send without an address\n"
	"      --stdin            one for each line on standard input, all from one socket; after a line\n"
	"                         \"third\" to --third\n"
	"      --segment N        have the kernel cut each message into datagrams of N bytes\n"
	"      --interface NAME   multicast leaves by this one\n"
	"  race ADDR PORT       threads connect as fast as they can, each connection reads one line;\n"
	"                       prints {\"connects\",\"seconds\",\"outcomes\"}\n"
	"      --threads N (default 4)  --for MS  --count N (of each thread; default 1000)\n"
	"      --graceful         close in order (default: reset, so that no port is used up)\n"
	"      --udp              a datagram and its answer instead\n"
	"  bench ADDR PORT      connect and close, in blocks; prints for each block\n"
	"                       {\"block\",\"cycles\",\"cpu_ns\",\"wall_ns\",\"failed\"}, both per cycle, CPU of\n"
	"                       this thread (user and system)\n"
	"      --blocks N (default 1)  --cycles N (default 1000)  --graceful\n"
	"      --stdin            one block for each line on standard input, to interleave with others\n"
	"      --udp              one unconnected sendto per cycle instead\n"
	"\n"
	"Other ways to the same place: each sends a line and reads one; prints {\"result\",\"call\",\"line\"}\n"
	"  way NAME ADDR PORT\n"
	"      unspec             UDP: sendto with an address of family AF_UNSPEC\n"
	"      inet-from-v6       UDP: sendto with a sockaddr_in from an IPv6 socket\n"
	"      inet-connect-v6    UDP: connect with a sockaddr_in of an IPv6 socket\n"
	"      mapped             UDP: sendto with a v4-mapped address\n"
	"      other-than-peer    UDP: connected to --third, then sendto; reads nothing, line \"sent\"\n"
	"      second-message     UDP: sendmmsg, the first message to --third\n"
	"      fastopen           TCP: sendto with MSG_FASTOPEN\n"
	"      fastopen-connect   TCP: TCP_FASTOPEN_CONNECT, connect, send\n"
	"      uring              TCP: IORING_OP_CONNECT\n"
	"      reconnect          TCP: connected to --third, connect with AF_UNSPEC, connect\n"
	"      preopened          TCP: prints {\"ready\"} with a socket made; connects when --when is there\n"
	"      passed             TCP: a process in --birth-cgroup makes the socket and passes it (SCM_RIGHTS)\n"
	"      passed-connected   TCP: and has connected it\n"
	"      --when PATH        wait for this file\n"
	"  listen-unbound       TCP: listen without bind; prints {\"result\",\"port\"}\n"
	"  packet               makes an AF_PACKET socket; prints {\"result\"}\n"
	"  sniff INTERFACE      sees every frame there; prints {\"listening\"}, and for each line on\n"
	"                       standard input {\"frames\",\"found\"}: all of them, and those with --text\n"
	"\n"
	"Others\n"
	"  bind ADDR PORT [--udp] [--reuseport]     prints {\"result\",\"port\"}\n"
	"  raw | mptcp | sctp | udplite | dccp | ping [--v6]  makes such a socket; prints {\"result\"}\n"
	"  ping-echo ADDR       an ICMP echo from a ping socket; prints {\"result\"}\n"
	"  echo ADDR            an ICMP echo from a raw socket (IPv4); prints {\"result\"}\n"
	"  unix PATH            connects to a Unix socket; prints {\"result\"}\n"
	"      --user N           as this user and no other group than N, once in its cgroup\n"
	"  sleep [MS]           prints {\"pid\"} and sleeps (for ever)\n"
	"\n"
	"  --timeout MS         of each wait in a client (default 5000)\n";

/* -- arguments ---------------------------------------------------------------- */

static struct {
	const char *command, *netns, *cgroup, *birth_cgroup, *reply, *also, *third, *text, *from,
		*blind, *join, *interface, *when;
	const char *positional[3];
	int positionals;
	long count, send, bind_port, hold, threads, milliseconds, blocks, cycles, timeout, backlog,
		third_port, blind_port, segment, user;
	int origin, echo, read, peername, udp, v6_socket, graceful, from_stdin, reuseport, v6,
		connected, again;
} o = {.count = -1,
       .bind_port = -1,
       .user = -1,
       .threads = 4,
       .blocks = 1,
       .cycles = 1000,
       .timeout = 5000,
       .backlog = 4096};

__attribute__((format(printf, 1, 2), noreturn)) static void usage(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "prober: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, " (see prober --help)\n");
	exit(2);
}

static long number(const char *option, const char *text)
{
	char *end;
	long value = text ? strtol(text, &end, 10) : -1;

	if (!text || !*text || *end || value < 0)
		usage("%s wants a number, not '%s'", option, text ? text : "nothing");
	return value;
}

static void parse(int argc, char **argv)
{
	const struct {
		const char *name;
		const char **text;
		long *number;
		int *flag;
	} options[] = {
		{"--netns", &o.netns, NULL, NULL},
		{"--cgroup", &o.cgroup, NULL, NULL},
		{"--birth-cgroup", &o.birth_cgroup, NULL, NULL},
		{"--reply", &o.reply, NULL, NULL},
		{"--also", &o.also, NULL, NULL},
		{"--text", &o.text, NULL, NULL},
		{"--when", &o.when, NULL, NULL},
		{"--from", &o.from, NULL, NULL},
		{"--join", &o.join, NULL, NULL},
		{"--interface", &o.interface, NULL, NULL},
		{"--count", NULL, &o.count, NULL},
		{"--send", NULL, &o.send, NULL},
		{"--user", NULL, &o.user, NULL},
		{"--bind-port", NULL, &o.bind_port, NULL},
		{"--segment", NULL, &o.segment, NULL},
		{"--hold", NULL, &o.hold, NULL},
		{"--threads", NULL, &o.threads, NULL},
		{"--for", NULL, &o.milliseconds, NULL},
		{"--blocks", NULL, &o.blocks, NULL},
		{"--cycles", NULL, &o.cycles, NULL},
		{"--timeout", NULL, &o.timeout, NULL},
		{"--backlog", NULL, &o.backlog, NULL},
		{"--again", NULL, NULL, &o.again},
		{"--origin", NULL, NULL, &o.origin},
		{"--echo", NULL, NULL, &o.echo},
		{"--read", NULL, NULL, &o.read},
		{"--print-first-byte-stats", NULL, NULL, &o.read},
		{"--peername", NULL, NULL, &o.peername},
		{"--udp", NULL, NULL, &o.udp},
		{"--connected", NULL, NULL, &o.connected},
		{"--v6-socket", NULL, NULL, &o.v6_socket},
		{"--graceful", NULL, NULL, &o.graceful},
		{"--stdin", NULL, NULL, &o.from_stdin},
		{"--reuseport", NULL, NULL, &o.reuseport},
		{"--v6", NULL, NULL, &o.v6},
	};

	for (int i = 1; i < argc; i++) {
		size_t n = sizeof(options) / sizeof(*options), k;

		if (strcmp(argv[i], "--help") == 0) {
			fputs(HELP, stdout);
			exit(0);
		}
		if (strcmp(argv[i], "--third") == 0) {
			if (i + 2 >= argc)
				usage("--third wants ADDR PORT");
			o.third = argv[++i];
			o.third_port = number("--third", argv[++i]);
			continue;
		}
		if (strcmp(argv[i], "--blind") == 0) {
			if (i + 2 >= argc)
				usage("--blind wants ADDR PORT");
			o.blind = argv[++i];
			o.blind_port = number("--blind", argv[++i]);
			continue;
		}
		if (strncmp(argv[i], "--", 2) != 0) {
			if (!o.command)
				o.command = argv[i];
			else if (o.positionals < 3)
				o.positional[o.positionals++] = argv[i];
			else
				usage("too many arguments: '%s'", argv[i]);
			continue;
		}
		for (k = 0; k < n && strcmp(argv[i], options[k].name) != 0; k++)
			;
		if (k == n)
			usage("unknown option %s", argv[i]);
		if (options[k].flag) {
			*options[k].flag = 1;
			continue;
		}
		if (++i >= argc)
			usage("%s wants a value", options[k].name);
		if (options[k].text)
			*options[k].text = argv[i];
		else
			*options[k].number = number(options[k].name, argv[i]);
	}
	if (!o.command)
		usage("which command?");
}

/* -- JSON --------------------------------------------------------------------- */

static void quote(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static const char *name_of(int error)
{
	const char *name = error ? strerrorname_np(error) : "ok";

	return name ? name : "E?";
}

/* {"result":"EACCES","call":"bind"} and the end: servers that could not start. */
__attribute__((noreturn)) static void failed(const char *call)
{
	printf("{\"result\":\"%s\",\"call\":\"%s\"}\n", name_of(errno), call);
	exit(0);
}

/* How often each outcome happened; a handful of different ones. */
#define OUTCOMES 64
struct outcomes {
	struct {
		char name[120];
		long count;
	} of[OUTCOMES];
	int used;
};

static void tally(struct outcomes *o, const char *name, long count)
{
	int i;

	for (i = 0; i < o->used; i++)
		if (strncmp(o->of[i].name, name, sizeof(o->of[i].name) - 1) == 0)
			break;
	if (i == OUTCOMES) {
		i = OUTCOMES - 1;
		name = "others";
	}
	if (i == o->used)
		o->used++;
	snprintf(o->of[i].name, sizeof(o->of[i].name), "%s", name);
	o->of[i].count += count;
}

static void print_outcomes(const struct outcomes *o)
{
	printf("\"outcomes\":{");
	for (int i = 0; i < o->used; i++) {
		if (i)
			printf(",");
		quote(stdout, o->of[i].name);
		printf(":%ld", o->of[i].count);
	}
	printf("}");
}

/* -- places ------------------------------------------------------------------- */

static void enter_cgroup(const char *path)
{
	char file[4096];
	int fd;

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		usage("cannot enter cgroup %s: %s", path, name_of(errno));
	close(fd);
}

static void enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET))
		usage("cannot enter network namespace %s: %s", path, name_of(errno));
	close(fd);
}

/* -- addresses ---------------------------------------------------------------- */

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t parse_address(union address *a, const char *text, long port)
{
	char mapped[64], scoped[INET6_ADDRSTRLEN];
	const char *scope = strchr(text, '%');

	memset(a, 0, sizeof(*a));
	if (port > 65535)
		usage("no such port: %ld", port);
	if (inet_pton(AF_INET, text, &a->in.sin_addr) == 1) {
		if (!o.v6_socket) {
			a->in.sin_family = AF_INET;
			a->in.sin_port = htons(port);
			return sizeof(a->in);
		}
		snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
		text = mapped;
	}
	memset(a, 0, sizeof(*a));
	if (scope && scope - text < (long)sizeof(scoped)) {
		memcpy(scoped, text, scope - text);
		scoped[scope - text] = 0;
		text = scoped;
		a->in6.sin6_scope_id = if_nametoindex(scope + 1);
		if (!a->in6.sin6_scope_id)
			usage("no such interface: %s", scope + 1);
	}
	if (inet_pton(AF_INET6, text, &a->in6.sin6_addr) != 1)
		usage("not an address: %s", text);
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	return sizeof(a->in6);
}

static socklen_t target(union address *a)
{
	if (o.positionals != 2)
		usage("%s wants ADDR PORT", o.command);
	return parse_address(a, o.positional[0], number("PORT", o.positional[1]));
}

/* 10.0.0.1:80, [fd00::1]:80. */
static void print_address(char *text, size_t size, const union address *a)
{
	char ip[INET6_ADDRSTRLEN];

	if (a->sa.sa_family == AF_INET)
		snprintf(text, size, "%s:%u", inet_ntop(AF_INET, &a->in.sin_addr, ip, sizeof(ip)),
			 ntohs(a->in.sin_port));
	else if (a->sa.sa_family == AF_INET6)
		snprintf(text, size, "[%s]:%u",
			 inet_ntop(AF_INET6, &a->in6.sin6_addr, ip, sizeof(ip)),
			 ntohs(a->in6.sin6_port));
	else
		snprintf(text, size, "family %u", a->sa.sa_family);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static int client_socket(int family, int type)
{
	struct timeval t = {.tv_sec = o.timeout / 1000, .tv_usec = o.timeout % 1000 * 1000};
	int fd = socket(family, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	if (o.interface) {
		int index = if_nametoindex(o.interface);
		struct ip_mreqn by = {.imr_ifindex = index};

		if (family == AF_INET)
			setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &by, sizeof(by));
		else
			setsockopt(fd, SOL_IPV6, IPV6_MULTICAST_IF, &index, sizeof(index));
	}
	if (o.bind_port >= 0 || o.from) {
		union address a = {.sa.sa_family = family};

		if (o.from)
			parse_address(&a, o.from, 0);
		a.in.sin_port = htons(o.bind_port >= 0 ? o.bind_port : 0); /* same place in both */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, &a.sa, family == AF_INET ? sizeof(a.in) : sizeof(a.in6))) {
			int error = errno;

			close(fd);
			errno = error;
			return -1;
		}
	}
	return fd;
}

static int connect_to(int fd, const union address *a, socklen_t size)
{
	if (connect(fd, &a->sa, size) == 0)
		return 0;
	/* What SO_SNDTIMEO says of a connect that took too long. */
	if (errno == EINPROGRESS)
		errno = ETIMEDOUT;
	return -1;
}

/* A close that leaves no TIME_WAIT, so that no test runs out of ports. */
static void reset_close(int fd)
{
	struct linger now = {.l_onoff = 1};

	if (!o.graceful)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* One line without its end, into `line`. 1: a line; 0: the end came first; -1: errno. */
static int read_line(int fd, char *line, size_t size)
{
	size_t used = 0;

	for (;;) {
		ssize_t n = recv(fd, line + used, size - 1 - used, 0);
		char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno == EAGAIN)
				errno = ETIMEDOUT;
			return -1;
		}
		line[used + n] = 0;
		end = memchr(line + used, '\n', n);
		if (end) {
			*end = 0;
			return 1;
		}
		used += n;
		if (n == 0 || used == size - 1)
			return used > 0;
	}
}

/* -- servers ------------------------------------------------------------------ */

static void origin_line(int fd, int family, char *line, size_t size)
{
	struct weir_origin origin = {};
	socklen_t length = sizeof(origin);
	struct in6_addr ip;
	char text[INET6_ADDRSTRLEN];

	if (getsockopt(fd, family == AF_INET ? SOL_IP : SOL_IPV6, WEIR_SO_ORIGIN, &origin,
		       &length)) {
		snprintf(line, size, "{\"errno\":\"%s\"}\n", name_of(errno));
		return;
	}
	memcpy(&ip, &origin.address, sizeof(ip));
	snprintf(line, size,
		 "{\"address\":\"%s\",\"port\":%u,\"protocol\":%u,\"source\":%u,\"destination\":%u,"
		 "\"cgroup\":%llu}\n",
		 inet_ntop(AF_INET6, &ip, text, sizeof(text)), origin.port, origin.protocol,
		 origin.source, origin.destination, (unsigned long long)origin.cgroup);
}

struct serving {
	int fd, family;
};

static void *serve_one(void *with)
{
	struct serving *s = with;
	struct timeval limit = {.tv_sec = 60};
	char buffer[65536];
	ssize_t n;

	setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!o.echo) {
		if (o.origin)
			origin_line(s->fd, s->family, buffer, sizeof(buffer));
		else
			snprintf(buffer, sizeof(buffer), "%s\n", o.reply ? o.reply : "ok");
		if (send(s->fd, buffer, strlen(buffer), MSG_NOSIGNAL) > 0)
			shutdown(s->fd, SHUT_WR);
	}
	while ((n = recv(s->fd, buffer, sizeof(buffer), 0)) > 0)
		if (o.echo && send(s->fd, buffer, n, MSG_NOSIGNAL) != n)
			break;
	close(s->fd);
	free(s);
	return NULL;
}

static void *accept_loop(void *with)
{
	struct serving *listener = with;
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 * 1024);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		struct serving *s;

		if (fd < 0) {
			/* Somebody has ended it: it does not listen any more. */
			if (errno == EINVAL) {
				if (!o.again)
					failed("accept");
				if (listen(listener->fd, o.backlog))
					failed("listen");
				printf("{\"again\":true}\n");
				continue;
			}
			/* ECONNABORTED and the like concern one connection; no descriptors passes. */
			pause_ms(errno == EMFILE || errno == ENFILE || errno == ENOMEM ? 10 : 0);
			continue;
		}
		s = malloc(sizeof(*s));
		if (!s) {
			close(fd);
			continue;
		}
		s->fd = fd;
		s->family = listener->family;
		if (pthread_create(&thread, &small, serve_one, s))
			serve_one(s);
	}
	return NULL;
}

static int bound_socket(union address *a, socklen_t size, int type, const char **call)
{
	int one = 1, fd = socket(a->sa.sa_family, type | SOCK_CLOEXEC, 0);

	*call = "socket";
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (o.reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	*call = "bind";
	if (bind(fd, &a->sa, size) || getsockname(fd, &a->sa, &size)) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int listen_on(union address *a, socklen_t size)
{
	const char *call;
	int one = 1, fd;

	fd = bound_socket(a, size, SOCK_STREAM, &call);
	if (fd < 0)
		failed(call);
	/* Two addresses on one port: a [::] must leave IPv4 to the other. */
	if (a->sa.sa_family == AF_INET6 && o.also)
		setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (listen(fd, o.backlog))
		failed("listen");
	return fd;
}

static int command_listen(void)
{
	static struct serving first, second;
	union address a, also;
	socklen_t size = target(&a);
	pthread_t thread;

	first.fd = listen_on(&a, size);
	first.family = a.sa.sa_family;
	if (o.also) {
		size = parse_address(&also, o.also, ntohs(a.in.sin_port));
		second.fd = listen_on(&also, size);
		second.family = also.sa.sa_family;
	}
	printf("{\"listening\":%u,\"pid\":%d}\n", ntohs(a.in.sin_port), getpid());
	if (o.also && pthread_create(&thread, NULL, accept_loop, &second))
		failed("pthread_create");
	accept_loop(&first);
	return 0;
}

/* One descriptor comes with each connection (SCM_RIGHTS). */
static int command_adopt(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (o.positionals != 1 || strlen(o.positional[0]) >= sizeof(a.sun_path))
		usage("adopt wants PATH");
	memcpy(a.sun_path, o.positional[0], strlen(o.positional[0]));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64))
		failed("bind");
	printf("{\"listening\":0,\"pid\":%d}\n", getpid());
	for (;;) {
		char byte, control[CMSG_SPACE(sizeof(int))];
		struct iovec vector = {.iov_base = &byte, .iov_len = 1};
		struct msghdr message = {.msg_iov = &vector,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		int from = accept(fd, NULL, NULL);
		struct serving *s = calloc(1, sizeof(*s));
		union address bound;
		socklen_t size = sizeof(bound);
		pthread_t thread;

		if (from < 0 || !s || recvmsg(from, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
			failed("recvmsg");
		memcpy(&s->fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
		close(from);
		fcntl(s->fd, F_SETFL, 0); /* accept() is to wait */
		if (getsockname(s->fd, &bound.sa, &size))
			failed("getsockname");
		s->family = bound.sa.sa_family;
		printf("{\"adopted\":%u,\"v6\":%s}\n", ntohs(bound.in.sin_port),
		       s->family == AF_INET6 ? "true" : "false");
		if (pthread_create(&thread, NULL, accept_loop, s))
			failed("pthread_create");
	}
}

static int command_hand_over(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {};
	char byte = 0;
	struct iovec vector = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	union address a;
	int listener, fd;

	if (o.positionals != 3 || strlen(o.positional[0]) >= sizeof(to.sun_path))
		usage("hand-over wants PATH ADDR PORT");
	memcpy(to.sun_path, o.positional[0], strlen(o.positional[0]));
	listener =
		listen_on(&a, parse_address(&a, o.positional[1], number("PORT", o.positional[2])));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		failed("connect");
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &listener, sizeof(listener));
	if (sendmsg(fd, &message, 0) != 1)
		failed("sendmsg");
	close(fd);
	printf("{\"listening\":%u,\"pid\":%d}\n", ntohs(a.in.sin_port), getpid());
	for (;;)
		pause();
}

static void join_group(int fd)
{
	struct group_req group = {.gr_interface = o.interface ? if_nametoindex(o.interface) : 0};
	union address a;
	socklen_t size = parse_address(&a, o.join, 0);

	memcpy(&group.gr_group, &a, size);
	if (setsockopt(fd, a.sa.sa_family == AF_INET ? SOL_IP : SOL_IPV6, MCAST_JOIN_GROUP, &group,
		       sizeof(group)))
		failed("join");
}

static int command_udp_echo(void)
{
	union address a, from, third, blind;
	socklen_t size = target(&a), third_size = 0, blind_size = 0;
	char buffer[65536], text[80];
	const char *call;
	int fd = bound_socket(&a, size, SOCK_DGRAM, &call);

	if (fd < 0)
		failed(call);
	if (o.third)
		third_size = parse_address(&third, o.third, o.third_port);
	if (o.blind)
		blind_size = parse_address(&blind, o.blind, o.blind_port);
	if (o.join)
		join_group(fd);
	printf("{\"listening\":%u,\"pid\":%d}\n", ntohs(a.in.sin_port), getpid());
	for (;;) {
		socklen_t from_size = sizeof(from);
		ssize_t n = o.blind ? recv(fd, buffer, sizeof(buffer), 0)
				    : recvfrom(fd, buffer, sizeof(buffer), 0, &from.sa, &from_size);
		int reply = 0, other = 0;

		if (n < 0)
			continue;
		if (o.blind) {
			from = blind;
			from_size = blind_size;
		}
		if (o.reply)
			n = snprintf(buffer, sizeof(buffer), "%s\n", o.reply);
		if (o.when && access(o.when, F_OK)) {
			printf("{\"heard\":%zd}\n", n);
			while (access(o.when, F_OK))
				pause_ms(1);
		}
		if (o.connected && connect(fd, &from.sa, from_size))
			reply = errno;
		else if (sendto(fd, buffer, n, 0, o.connected ? NULL : &from.sa,
				o.connected ? 0 : from_size) < 0)
			reply = errno;
		if (o.third && sendto(fd, "third\n", 6, 0, &third.sa, third_size) < 0)
			other = errno;
		print_address(text, sizeof(text), &from);
		printf("{\"from\":\"%s\",\"reply\":\"%s\"", text, name_of(reply));
		if (o.third)
			printf(",\"third\":\"%s\"", name_of(other));
		printf("}\n");
	}
	return 0;
}

/* -- clients ------------------------------------------------------------------ */

struct attempt {
	const char *call;
	int error;
	uint64_t connect_ns;
	char peer[80];
	char line[512];
	int got; /* of read_line */
};

static int send_all(int fd)
{
	static const char block[65536];

	for (long left = o.send; left > 0;) {
		ssize_t n = send(fd, block, left < (long)sizeof(block) ? left : (long)sizeof(block),
				 MSG_NOSIGNAL);

		if (n < 0)
			return -1;
		left -= n;
	}
	if (o.text) {
		char line[4096];
		int n = snprintf(line, sizeof(line), "%s\n", o.text);

		if (send(fd, line, n, MSG_NOSIGNAL) != n)
			return -1;
	} else if (o.udp && !o.send && send(fd, "x\n", 2, 0) != 2) {
		return -1;
	}
	return 0;
}

/* Everything one `connect` does, up to the first call that fails. */
static void attempt(struct attempt *t, const union address *a, socklen_t size)
{
	union address peer;
	socklen_t peer_size = sizeof(peer);
	uint64_t start;
	int fd;

	memset(t, 0, sizeof(*t));
	fd = client_socket(a->sa.sa_family, o.udp ? SOCK_DGRAM : SOCK_STREAM);
	if (fd < 0) {
		t->call = o.bind_port >= 0 ? "bind" : "socket";
		t->error = errno;
		return;
	}
	if (o.birth_cgroup && o.cgroup)
		enter_cgroup(o.cgroup);
	start = now_ns(CLOCK_MONOTONIC);
	t->call = "connect";
	if (connect_to(fd, a, size))
		goto failed;
	t->connect_ns = now_ns(CLOCK_MONOTONIC) - start;
	t->call = "getpeername";
	if (o.peername) {
		if (getpeername(fd, &peer.sa, &peer_size))
			goto failed;
		print_address(t->peer, sizeof(t->peer), &peer);
	}
	t->call = "send";
	if (send_all(fd))
		goto failed;
	t->call = "recv";
	if (o.read) {
		t->got = read_line(fd, t->line, sizeof(t->line));
		if (t->got < 0)
			goto failed;
	}
	if (o.hold) {
		printf("{\"holding\":true,\"pid\":%d}\n", getpid());
		pause_ms(o.hold);
	}
	close(fd);
	return;
failed:
	t->error = errno;
	close(fd);
}

static const char *outcome(const struct attempt *t)
{
	if (t->error)
		return name_of(t->error);
	if (o.read)
		return t->got ? t->line : "eof";
	return "ok";
}

static int command_connect(void)
{
	static struct outcomes outcomes;
	union address a;
	socklen_t size = target(&a);
	struct attempt t;

	if (o.count < 0) {
		attempt(&t, &a, size);
		printf("{\"result\":\"%s\"", name_of(t.error));
		if (t.error)
			printf(",\"call\":\"%s\"", t.call);
		if (t.connect_ns)
			printf(",\"connect_us\":%.1f", t.connect_ns / 1000.0);
		if (*t.peer)
			printf(",\"peer\":\"%s\"", t.peer);
		if (o.read && !t.error) {
			printf(",\"eof\":%s,\"line\":", t.got ? "false" : "true");
			quote(stdout, t.line);
		}
		printf("}\n");
		return 0;
	}
	for (long i = 0; i < o.count; i++) {
		attempt(&t, &a, size);
		tally(&outcomes, outcome(&t), 1);
	}
	printf("{\"connects\":%ld,", o.count);
	print_outcomes(&outcomes);
	printf("}\n");
	return 0;
}

static int command_sendto(void)
{
	static struct outcomes outcomes;
	union address a, from, first, third;
	socklen_t first_size = target(&first), third_size = 0, size = first_size;
	char buffer[4096], text[80] = "", order[256];
	int fd = client_socket(first.sa.sa_family, SOCK_DGRAM), error = 0;
	long count = o.count < 0 ? 1 : o.count;

	a = first;
	if (o.third)
		third_size = parse_address(&third, o.third, o.third_port);
	if (fd < 0)
		failed(o.bind_port >= 0 ? "bind" : "socket");
	if (o.birth_cgroup && o.cgroup)
		enter_cgroup(o.cgroup);
	if (o.segment && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &(int){o.segment}, sizeof(int)))
		failed("UDP_SEGMENT");
	if (o.connected && connect(fd, &a.sa, size))
		failed("connect");
	for (long i = 0; o.from_stdin ? fgets(order, sizeof(order), stdin) != NULL : i < count;
	     i++) {
		int n = snprintf(buffer, sizeof(buffer), "%s\n", o.text ? o.text : "x");
		const char *call = "sendto";
		socklen_t from_size = sizeof(from);
		ssize_t got = 0;

		error = 0;
		*text = 0;
		if (o.third && o.from_stdin) {
			a = strcmp(order, "third\n") ? first : third;
			size = strcmp(order, "third\n") ? first_size : third_size;
		}
		if (sendto(fd, buffer, n, 0, o.connected ? NULL : &a.sa, o.connected ? 0 : size) <
		    0) {
			error = errno;
		} else if (o.read) {
			call = "recvfrom";
			got = recvfrom(fd, buffer, sizeof(buffer) - 1, 0, &from.sa, &from_size);
			if (got < 0)
				error = errno == EAGAIN ? ETIMEDOUT : errno;
			else
				print_address(text, sizeof(text), &from);
		}
		buffer[got > 0 ? got : 0] = 0;
		buffer[strcspn(buffer, "\n")] = 0;
		tally(&outcomes, error ? name_of(error) : o.read ? buffer : "ok", 1);
		if (o.count >= 0)
			continue;
		printf("{\"result\":\"%s\"", name_of(error));
		if (error)
			printf(",\"call\":\"%s\"", call);
		if (*text) {
			printf(",\"from\":\"%s\",\"line\":", text);
			quote(stdout, buffer);
		}
		printf("}\n");
	}
	if (o.count >= 0) {
		printf("{\"sends\":%ld,", count);
		print_outcomes(&outcomes);
		printf("}\n");
	}
	close(fd);
	return 0;
}

struct racer {
	struct outcomes outcomes;
	long connects;
	uint64_t until;
	pthread_t thread;
};

static void *race_one(void *with)
{
	struct racer *r = with;
	union address a;
	socklen_t size = target(&a);
	long count = o.count >= 0 ? o.count : o.milliseconds ? -1 : 1000;
	char line[512];

	for (long i = 0; count < 0 || i < count; i++) {
		const char *name = line;
		int fd, got;

		if (r->until && now_ns(CLOCK_MONOTONIC) >= r->until)
			break;
		fd = client_socket(a.sa.sa_family, o.udp ? SOCK_DGRAM : SOCK_STREAM);
		r->connects++;
		if (fd < 0 ||
		    (o.udp ? sendto(fd, "x\n", 2, 0, &a.sa, size) < 0 : connect_to(fd, &a, size))) {
			tally(&r->outcomes, name_of(errno), 1);
			if (fd >= 0)
				close(fd);
			continue;
		}
		got = read_line(fd, line, sizeof(line));
		if (got < 0)
			name = name_of(errno);
		else if (got == 0)
			name = "eof";
		tally(&r->outcomes, name, 1);
		reset_close(fd);
	}
	return NULL;
}

static int command_race(void)
{
	struct racer *racers;
	static struct outcomes all;
	union address a;
	uint64_t start = now_ns(CLOCK_MONOTONIC);
	long connects = 0;

	target(&a);
	if (o.threads < 1 || o.threads > 1000)
		usage("--threads wants 1 to 1000");
	racers = calloc(o.threads, sizeof(*racers));
	if (!racers)
		failed("calloc");
	for (long i = 0; i < o.threads; i++) {
		racers[i].until = o.milliseconds ? start + o.milliseconds * 1000000ULL : 0;
		if (pthread_create(&racers[i].thread, NULL, race_one, &racers[i]))
			failed("pthread_create");
	}
	for (long i = 0; i < o.threads; i++) {
		pthread_join(racers[i].thread, NULL);
		connects += racers[i].connects;
		for (int k = 0; k < racers[i].outcomes.used; k++)
			tally(&all, racers[i].outcomes.of[k].name, racers[i].outcomes.of[k].count);
	}
	printf("{\"connects\":%ld,\"seconds\":%.3f,", connects,
	       (now_ns(CLOCK_MONOTONIC) - start) / 1e9);
	print_outcomes(&all);
	printf("}\n");
	free(racers);
	return 0;
}

static void bench_block(long block, const union address *a, socklen_t size)
{
	int fd = -1;
	long failures = 0;
	uint64_t cpu, wall;

	if (o.udp && (fd = client_socket(a->sa.sa_family, SOCK_DGRAM)) < 0)
		failed("socket");
	wall = now_ns(CLOCK_MONOTONIC);
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	for (long i = 0; i < o.cycles; i++) {
		if (o.udp) {
			failures += sendto(fd, "x", 1, MSG_DONTWAIT, &a->sa, size) < 0;
			continue;
		}
		fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		failures += fd < 0 || connect(fd, &a->sa, size) < 0;
		if (fd >= 0)
			reset_close(fd);
	}
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	if (o.udp)
		close(fd);
	printf("{\"block\":%ld,\"cycles\":%ld,\"cpu_ns\":%.1f,\"wall_ns\":%.1f,\"failed\":%ld}\n",
	       block, o.cycles, (double)cpu / o.cycles, (double)wall / o.cycles, failures);
}

static int command_bench(void)
{
	union address a;
	socklen_t size = target(&a);
	char line[256];

	if (o.cycles < 1)
		usage("--cycles wants 1 or more");
	if (o.from_stdin) {
		for (long i = 0; fgets(line, sizeof(line), stdin); i++)
			bench_block(i, &a, size);
		return 0;
	}
	for (long i = 0; i < o.blocks; i++)
		bench_block(i, &a, size);
	return 0;
}

/* -- others ------------------------------------------------------------------- */

static int command_bind(void)
{
	union address a;
	socklen_t size = target(&a);
	const char *call;
	int fd = bound_socket(&a, size, o.udp ? SOCK_DGRAM : SOCK_STREAM, &call);

	if (fd < 0)
		failed(call);
	printf("{\"result\":\"ok\",\"port\":%u}\n", ntohs(a.in.sin_port));
	close(fd);
	return 0;
}

static int make_socket(int type, int protocol, int protocol6)
{
	int fd = socket(o.v6 ? AF_INET6 : AF_INET, type, o.v6 ? protocol6 : protocol);

	if (fd < 0)
		failed("socket");
	printf("{\"result\":\"ok\"}\n");
	close(fd);
	return 0;
}

static int command_raw(void)
{
	return make_socket(SOCK_RAW, IPPROTO_ICMP, IPPROTO_ICMPV6);
}

static int command_mptcp(void)
{
	return make_socket(SOCK_STREAM, 262, 262);
}

static int command_sctp(void)
{
	return make_socket(SOCK_STREAM, IPPROTO_SCTP, IPPROTO_SCTP);
}

static int command_udplite(void)
{
	return make_socket(SOCK_DGRAM, IPPROTO_UDPLITE, IPPROTO_UDPLITE);
}

static int command_ping(void)
{
	return make_socket(SOCK_DGRAM, IPPROTO_ICMP, IPPROTO_ICMPV6);
}

/* By a ping socket, connected: its kernel writes identifier and checksum. */
static int command_ping_echo(void)
{
	uint8_t echo[8] = {}, answer[64];
	struct timeval t = {.tv_sec = o.timeout / 1000, .tv_usec = o.timeout % 1000 * 1000};
	union address a;
	socklen_t size;
	int fd;

	if (o.positionals != 1)
		usage("ping-echo wants ADDR");
	size = parse_address(&a, o.positional[0], 0);
	echo[0] = a.sa.sa_family == AF_INET ? 8 : 128;
	fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC,
		    a.sa.sa_family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (fd < 0)
		failed("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	if (connect(fd, &a.sa, size))
		failed("connect");
	if (send(fd, echo, sizeof(echo), 0) < 0)
		failed("send");
	if (recv(fd, answer, sizeof(answer), 0) < 0) {
		if (errno == EAGAIN)
			errno = ETIMEDOUT;
		failed("recv");
	}
	printf("{\"result\":\"ok\"}\n");
	close(fd);
	return 0;
}

static int command_dccp(void)
{
	return make_socket(SOCK_DCCP, IPPROTO_DCCP, IPPROTO_DCCP);
}

/* -- other ways --------------------------------------------------------------- */

static int tcp_with_limit(int family)
{
	int fd = client_socket(family, SOCK_STREAM);

	if (fd < 0)
		failed("socket");
	return fd;
}

/* connect() by the ring alone: no connect system call is made. */
static int uring_connect(int fd, const union address *a, socklen_t size)
{
	struct io_uring_params p = {};
	int ring = syscall(__NR_io_uring_setup, 1, &p), result;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *done;
	char *sq, *cq;

	if (ring < 0)
		failed("io_uring_setup");
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(__u32), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*done), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	entries = mmap(NULL, p.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || entries == MAP_FAILED)
		failed("mmap");
	memset(entries, 0, sizeof(*entries));
	entries->opcode = IORING_OP_CONNECT;
	entries->fd = fd;
	entries->addr = (uintptr_t)a;
	entries->off = size;
	*(__u32 *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((__u32 *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		failed("io_uring_enter");
	if (__atomic_load_n((__u32 *)(cq + p.cq_off.tail), __ATOMIC_ACQUIRE) == 0)
		usage("io_uring_enter came back with nothing done");
	done = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	result = done->res;
	close(ring);
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return 0;
}

/* A socket made, and connected if asked, by a process of another cgroup. */
static int passed_socket(const union address *a, socklen_t size, int connected)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {};
	int error = 0, pair[2], status, fd;
	struct iovec io = {.iov_base = &error, .iov_len = sizeof(error)};
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	pid_t child;

	if (!o.birth_cgroup || !o.cgroup)
		usage("passed wants --birth-cgroup and --cgroup");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		failed("socketpair");
	child = fork(); /* we are in --birth-cgroup, and so is it */
	if (child < 0)
		failed("fork");
	if (child == 0) {
		fd = tcp_with_limit(a->sa.sa_family);
		if (connected && connect(fd, &a->sa, size))
			error = errno;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		_exit(sendmsg(pair[0], &m, 0) == sizeof(error) ? 0 : 1);
	}
	if (waitpid(child, &status, 0) != child || status)
		usage("the process that passes the socket failed");
	enter_cgroup(o.cgroup);
	if (recvmsg(pair[1], &m, 0) != sizeof(error))
		failed("recvmsg");
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (error) {
		errno = error;
		failed("connect");
	}
	return fd;
}

static int command_way(void)
{
	const char *way = o.positionals == 3 ? o.positional[0] : "", *call = "connect";
	union address a, third = {}, unspecified = {.sa.sa_family = AF_UNSPEC};
	socklen_t size, third_size = 0;
	char line[512] = "";
	int fd, one = 1, sent = 0;

	if (!*way)
		usage("way wants NAME ADDR PORT");
	if (strcmp(way, "mapped") == 0)
		o.v6_socket = 1;
	size = parse_address(&a, o.positional[1], number("PORT", o.positional[2]));
	o.v6_socket = 0;
	if (o.third)
		third_size = parse_address(&third, o.third, o.third_port);

	if (strcmp(way, "unspec") == 0) {
		fd = client_socket(AF_INET, SOCK_DGRAM);
		a.sa.sa_family = AF_UNSPEC;
		call = "sendto";
		sent = sendto(fd, "x\n", 2, 0, &a.sa, size);
	} else if (strcmp(way, "inet-from-v6") == 0 || strcmp(way, "mapped") == 0) {
		fd = client_socket(AF_INET6, SOCK_DGRAM);
		call = "sendto";
		sent = sendto(fd, "x\n", 2, 0, &a.sa, size);
	} else if (strcmp(way, "inet-connect-v6") == 0) {
		fd = client_socket(AF_INET6, SOCK_DGRAM);
		sent = connect(fd, &a.sa, size) ? -1 : (int)send(fd, "x\n", 2, 0);
	} else if (strcmp(way, "other-than-peer") == 0) {
		fd = client_socket(a.sa.sa_family, SOCK_DGRAM);
		if (connect(fd, &third.sa, third_size))
			usage("cannot connect to --third: %s", name_of(errno));
		call = "sendto";
		sent = sendto(fd, "x\n", 2, 0, &a.sa, size);
		if (sent >= 0) { /* an answer of another than the peer is not for this socket */
			printf("{\"result\":\"ok\",\"line\":\"sent\"}\n");
			return 0;
		}
	} else if (strcmp(way, "second-message") == 0) {
		struct iovec io = {.iov_base = "x\n", .iov_len = 2};
		struct mmsghdr two[2] = {
			{.msg_hdr = {.msg_name = &third,
				     .msg_namelen = third_size,
				     .msg_iov = &io,
				     .msg_iovlen = 1}},
			{.msg_hdr = {.msg_name = &a,
				     .msg_namelen = size,
				     .msg_iov = &io,
				     .msg_iovlen = 1}},
		};

		fd = client_socket(a.sa.sa_family, SOCK_DGRAM);
		call = "sendmmsg";
		sent = sendmmsg(fd, two, 2, 0);
		if (sent == 1) /* why the second did not go, the kernel tells the next call */
			sent = sendmmsg(fd, two + 1, 1, 0);
		while (sent > 0) { /* the answer of --third may come first */
			union address from;
			socklen_t from_size = sizeof(from);

			if (recvfrom(fd, line, 1, MSG_PEEK, &from.sa, &from_size) < 0)
				failed("recv");
			if (from.in.sin_port == a.in.sin_port)
				break;
			recv(fd, line, sizeof(line), 0);
		}
	} else if (strcmp(way, "fastopen") == 0) {
		fd = tcp_with_limit(a.sa.sa_family);
		call = "sendto";
		sent = sendto(fd, "x\n", 2, MSG_FASTOPEN | MSG_NOSIGNAL, &a.sa, size);
	} else if (strcmp(way, "fastopen-connect") == 0) {
		fd = tcp_with_limit(a.sa.sa_family);
		if (setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
			failed("setsockopt");
		sent = connect(fd, &a.sa, size) ? -1 : (int)send(fd, "x\n", 2, MSG_NOSIGNAL);
	} else if (strcmp(way, "uring") == 0) {
		fd = tcp_with_limit(a.sa.sa_family);
		sent = uring_connect(fd, &a, size);
	} else if (strcmp(way, "reconnect") == 0) {
		fd = tcp_with_limit(a.sa.sa_family);
		if (connect(fd, &third.sa, third_size) ||
		    connect(fd, &unspecified.sa, sizeof(unspecified.sa)))
			usage("cannot connect to --third and leave it: %s", name_of(errno));
		sent = connect(fd, &a.sa, size);
	} else if (strcmp(way, "preopened") == 0) {
		fd = tcp_with_limit(a.sa.sa_family);
		printf("{\"ready\":true}\n");
		while (o.when && access(o.when, F_OK))
			pause_ms(5);
		sent = connect(fd, &a.sa, size);
	} else if (strcmp(way, "passed") == 0) {
		fd = passed_socket(&a, size, 0);
		sent = connect(fd, &a.sa, size);
	} else if (strcmp(way, "passed-connected") == 0) {
		fd = passed_socket(&a, size, 1);
	} else {
		usage("unknown way %s", way);
	}
	if (fd < 0)
		failed("socket");
	if (sent < 0)
		failed(call);
	if (read_line(fd, line, sizeof(line)) < 0)
		failed("recv");
	printf("{\"result\":\"ok\",\"line\":");
	quote(stdout, line);
	printf("}\n");
	close(fd);
	return 0;
}

static int command_listen_unbound(void)
{
	union address a = {};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		failed("socket");
	if (listen(fd, 1))
		failed("listen");
	if (getsockname(fd, &a.sa, &size))
		failed("getsockname");
	printf("{\"result\":\"ok\",\"port\":%u}\n", ntohs(a.in.sin_port));
	close(fd);
	return 0;
}

static int command_packet(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW, htons(0x0800));

	if (fd < 0)
		failed("socket");
	printf("{\"result\":\"ok\"}\n");
	close(fd);
	return 0;
}

/* Counts the frames that are there to be read. */
static void sniff_frames(int fd, long *frames, long *found)
{
	static uint8_t frame[70000];
	ssize_t n;

	while ((n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		(*frames)++;
		if (memmem(frame, n, o.text, strlen(o.text)))
			(*found)++;
	}
}

static int command_sniff(void)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), size = 4 << 20;
	struct pollfd ready[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
	long frames = 0, found = 0;
	char line[64];

	if (o.positionals != 1 || !o.text)
		usage("sniff wants INTERFACE and --text");
	a.sll_ifindex = if_nametoindex(o.positional[0]);
	if (!a.sll_ifindex)
		usage("no such interface: %s", o.positional[0]);
	if (fd < 0)
		failed("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)))
		failed("bind");
	printf("{\"listening\":0}\n");
	while (poll(ready, 2, -1) > 0 || errno == EINTR) {
		sniff_frames(fd, &frames, &found);
		if (!ready[1].revents)
			continue;
		if (read(0, line, sizeof(line)) <= 0)
			return 0;
		printf("{\"frames\":%ld,\"found\":%ld}\n", frames, found);
	}
	failed("poll");
}

static int command_echo(void)
{
	struct {
		uint8_t type, code;
		uint16_t sum, id, sequence;
	} echo = {.type = 8, .id = htons(0x5745)};
	struct timeval t = {.tv_sec = o.timeout / 1000, .tv_usec = o.timeout % 1000 * 1000};
	uint8_t packet[1500];
	union address a;
	socklen_t size;
	ssize_t n;
	int fd;

	if (o.positionals != 1)
		usage("echo wants ADDR");
	size = parse_address(&a, o.positional[0], 0);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (fd < 0)
		failed("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	echo.sum = ~(uint16_t)(8 + echo.id);
	if (sendto(fd, &echo, sizeof(echo), 0, &a.sa, size) < 0)
		failed("sendto");
	/* The raw socket hears whatever else there is; an answer is type 0. */
	while ((n = recv(fd, packet, sizeof(packet), 0)) >= 0)
		if (n > 20 && packet[(packet[0] & 15) * 4] == 0) {
			printf("{\"result\":\"ok\"}\n");
			return 0;
		}
	if (errno == EAGAIN)
		errno = ETIMEDOUT;
	failed("recv");
}

static int command_unix(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	if (o.positionals != 1 || strlen(o.positional[0]) >= sizeof(a.sun_path))
		usage("unix wants PATH, of at most %zu bytes", sizeof(a.sun_path) - 1);
	strcpy(a.sun_path, o.positional[0]);
	if (o.user >= 0 && (setgroups(0, NULL) || setresgid(o.user, o.user, o.user) ||
			    setresuid(o.user, o.user, o.user)))
		usage("cannot become user %ld: %s", o.user, name_of(errno));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		failed("socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		failed("connect");
	printf("{\"result\":\"ok\"}\n");
	close(fd);
	return 0;
}

static int command_sleep(void)
{
	printf("{\"pid\":%d}\n", getpid());
	if (o.positionals)
		pause_ms(number("MS", o.positional[0]));
	else
		for (;;)
			pause();
	return 0;
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		int (*run)(void);
	} commands[] = {
		{"listen", command_listen},       {"udp-echo", command_udp_echo},
		{"connect", command_connect},     {"sendto", command_sendto},
		{"race", command_race},           {"bench", command_bench},
		{"bind", command_bind},           {"raw", command_raw},
		{"mptcp", command_mptcp},         {"sctp", command_sctp},
		{"udplite", command_udplite},     {"ping", command_ping},
		{"sleep", command_sleep},         {"adopt", command_adopt},
		{"hand-over", command_hand_over}, {"way", command_way},
		{"packet", command_packet},       {"listen-unbound", command_listen_unbound},
		{"unix", command_unix},           {"echo", command_echo},
		{"dccp", command_dccp},           {"ping-echo", command_ping_echo},
		{"sniff", command_sniff},
	};

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(o.command, commands[i].name) == 0) {
			if (o.netns)
				enter_netns(o.netns);
			if (o.birth_cgroup)
				enter_cgroup(o.birth_cgroup);
			else if (o.cgroup)
				enter_cgroup(o.cgroup);
			return commands[i].run();
		}
	usage("unknown command %s", o.command);
}
