// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * kernel_smoke WEIR_OBJECT [VERDICT_TEST_OBJECT]: loads the programs into the running kernel,
 * attaches them below a cgroup of their own, and lets real sockets through each decision once.
 * Needs root. Leaves nothing behind: links and maps end with the process, cgroups are removed.
 * Prints TAP.
 */
#define _GNU_SOURCE
#define WEIR_LOOKUP(table, key) ((void)(key), (void *)(table))
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "weir/address.h"
#include "weir/types.h"
#include "weir/verdict.h"

#define BUCKETS    64
#define RACERS     8
#define RACES      500
#define FIRST_RACE 9000 /* virtual ports */

enum {
	WEB = 16,
	DB,
	CART,
	SHOP, /* service that leads to the proxy */
	WEB_IDENTITY = 8,
	DB_IDENTITY,
	CART_IDENTITY,
	SHOP_IDENTITY,
};

static struct bpf_object *object;
static char top[256], mountpoint[256];
static int failures, checks;

static void die(const char *what)
{
	fprintf(stderr, "kernel_smoke: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void check(int good, const char *format, ...)
{
	va_list arguments;

	failures += !good;
	printf("%sok %d - ", good ? "" : "not ", ++checks);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
}

/* -- cgroups ------------------------------------------------------------------ */

static void find_cgroup2(void)
{
	FILE *mounts = fopen("/proc/self/mounts", "r");
	char type[64];

	while (mounts && fscanf(mounts, "%*s %255s %63s %*[^\n]", mountpoint, type) == 2)
		if (strcmp(type, "cgroup2") == 0) {
			fclose(mounts);
			return;
		}
	errno = ENOENT;
	die("no cgroup2 in /proc/self/mounts");
}

static void path_of(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s%s%s%s", mountpoint, top, *name ? "/" : "", name);
}

static void make_cgroup(const char *name)
{
	char path[600];

	path_of(path, sizeof(path), name);
	if (mkdir(path, 0755))
		die(path);
}

static void clean(void)
{
	const char *names[] = {"web/worker", "web",      "db",    "cart", "proxy",
			       "governed/x", "governed", "plain", ""};
	char path[600];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		path_of(path, sizeof(path), names[i]);
		for (int n = 0; rmdir(path) && errno == EBUSY && n < 100; n++)
			usleep(10000);
	}
}

static void enter(const char *name)
{
	char path[600];
	int fd;

	path_of(path, sizeof(path), name);
	strcat(path, "/cgroup.procs");
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "0", 1) != 1) {
		perror(path);
		_exit(250);
	}
	close(fd);
}

static __u64 cgroup_id(const char *name)
{
	char path[600];
	struct stat status;

	path_of(path, sizeof(path), name);
	return stat(path, &status) ? 0 : status.st_ino;
}

/* -- tables ------------------------------------------------------------------- */

static int map_fd(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);

	if (fd < 0)
		die(name);
	return fd;
}

static int inner(const char *name, enum bpf_map_type type, __u32 flags, __u32 key, __u32 value,
		 __u32 entries)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
	__u32 slot = 0;
	int fd = bpf_map_create(type, NULL, key, value, entries, &options);

	if (fd < 0 || bpf_map_update_elem(map_fd(name), &slot, &fd, BPF_ANY))
		die(name);
	return fd;
}

static void set(int fd, const void *key, const void *value)
{
	if (bpf_map_update_elem(fd, key, value, BPF_ANY))
		die("map update");
}

static struct weir_verdict_bucket buckets[BUCKETS];

static void add_row(__u16 source, __u16 destination, __u8 protocol, __u16 port, __u8 verdict,
		    __u16 rule, __u64 seed)
{
	__u64 key = weir_row_key(source, destination, protocol, port), hash = weir_hash(key, seed);
	__u32 choice[2] = {weir_first_bucket(hash, BUCKETS - 1),
			   weir_second_bucket(hash, BUCKETS - 1)};

	for (int c = 0; c < 2; c++)
		for (int i = 0; i < WEIR_BUCKET_ROWS; i++)
			if (!buckets[choice[c]].row[i]) {
				buckets[choice[c]].row[i] = weir_row(key, verdict, rule);
				return;
			}
	abort();
}

static struct weir_address v4(const char *text)
{
	struct weir_address a;

	weir_address_from_v4(&a, inet_addr(text));
	return a;
}

static struct weir_address v6(const char *text)
{
	struct weir_address a;

	inet_pton(AF_INET6, text, &a);
	return a;
}

static void declare(const char *name, __u32 workload)
{
	struct weir_path path = {};
	struct weir_cgroup who = {.workload = {workload}};

	snprintf(path.path, sizeof(path.path), "%s/%s", top, name);
	set(map_fd("paths"), &path, &who);
}

static __u64 netns_cookie(void)
{
	__u64 cookie = 0;
	socklen_t size = sizeof(cookie);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (getsockopt(fd, SOL_SOCKET, 71 /* SO_NETNS_COOKIE */, &cookie, &size))
		die("SO_NETNS_COOKIE");
	close(fd);
	return cookie;
}

static int generations_fd, workloads_fd;
static struct weir_generation generation = {
	.number = 7, .verdict_seed = 0x1234567, .verdict_mask = BUCKETS - 1, .mesh_rule = 1};

static void put_generation(void)
{
	__u32 zero = 0;

	set(generations_fd, &zero, &generation);
}

static void service(int fd, struct weir_address address, __u16 port, __u8 protocol,
		    struct weir_service value)
{
	struct weir_service_key key = {.address = address, .port = port, .protocol = protocol};

	set(fd, &key, &value);
}

static void own(int fd, __u16 port, __u8 protocol, __u32 workload, __u16 identity)
{
	struct weir_port_key key = {.netns = netns_cookie(), .port = port, .protocol = protocol};
	struct weir_port value = {.workload = workload, .identity = identity};

	set(fd, &key, &value);
}

static void fill(__u16 db_port, __u16 cart_port, __u16 cart_port6, __u16 cart_udp, __u16 proxy_port)
{
	int fd, ports, services, backends;
	const __u32 f = BPF_F_INNER_MAP, n = BPF_F_NO_PREALLOC;

	generation.proxy_port = proxy_port;
	generations_fd =
		inner("generations", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_generation), 1);
	put_generation();

	workloads_fd =
		inner("workloads", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_workload), 32);
	for (__u32 i = WEB; i <= SHOP; i++)
		set(workloads_fd, &i,
		    &(struct weir_workload){.identity = WEB_IDENTITY + (i - WEB)});

	fd = inner("identities", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_identity), 32);
	set(fd, &(__u32){DB_IDENTITY},
	    &(struct weir_identity){.flags = WEIR_INGRESS_ISOLATED | WEIR_EGRESS_ISOLATED,
				    .ingress_rule = 2,
				    .egress_rule = 3});
	set(fd, &(__u32){SHOP_IDENTITY},
	    &(struct weir_identity){.flags = WEIR_INGRESS_ISOLATED, .ingress_rule = 4});

	add_row(CART_IDENTITY, DB_IDENTITY, WEIR_TCP, db_port, WEIR_ALLOW, 5,
		generation.verdict_seed);
	add_row(WEB_IDENTITY, SHOP_IDENTITY, WEIR_TCP, 80, WEIR_INSPECT, 6,
		generation.verdict_seed);
	for (int i = 0; i < RACERS; i++)
		add_row(WEB_IDENTITY, SHOP_IDENTITY, WEIR_TCP, FIRST_RACE + i, WEIR_INSPECT, 6,
			generation.verdict_seed);
	fd = inner("verdicts", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_verdict_bucket),
		   BUCKETS);
	for (__u32 i = 0; i < BUCKETS; i++)
		set(fd, &i, &buckets[i]);

	fd = inner("rules", BPF_MAP_TYPE_ARRAY, f, 4, 4, 8);
	for (__u32 i = 0; i < 8; i++)
		set(fd, &i, &(__u32){100 + i});

	services = inner("services", BPF_MAP_TYPE_HASH, n, sizeof(struct weir_service_key),
			 sizeof(struct weir_service), 64);
	struct weir_service cart = {.workload = 30, .first_slot = 0, .slots = 1};
	struct weir_service cart6 = {.workload = 30, .first_slot = 33, .slots = 1};
	struct weir_service cart_udp_service = {.workload = 30, .first_slot = 34, .slots = 1};
	struct weir_service none = {.workload = 30};
	struct weir_service shop = {
		.workload = SHOP, .identity = SHOP_IDENTITY, .flags = WEIR_SERVICE_PROXY};
	service(services, v4("10.96.0.5"), 80, WEIR_TCP, cart);
	service(services, v6("fd00::5"), 80, WEIR_TCP, cart6);
	service(services, v4("10.96.0.5"), 53, WEIR_UDP, cart_udp_service);
	service(services, v4("10.96.0.7"), 80, WEIR_TCP, none);
	service(services, v4("10.96.0.6"), 80, WEIR_TCP, shop);
	service(services, v6("fd00::6"), 80, WEIR_TCP, shop);
	for (int i = 0; i < RACERS; i++)
		service(services, v4("10.96.0.6"), FIRST_RACE + i, WEIR_TCP, shop);

	fd = inner("slots", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_slots), 2);
	struct weir_slots second = {};
	second.backend[1] = 1;
	second.backend[2] = 2;
	set(fd, &(__u32){1}, &second);
	backends = inner("backends", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_backend), 3);
	struct weir_backend b = {.address = v4("127.0.0.1"),
				 .workload = CART,
				 .port = cart_port,
				 .identity = CART_IDENTITY};
	set(backends, &(__u32){0}, &b);
	b.address = v6("::1");
	b.port = cart_port6;
	set(backends, &(__u32){1}, &b);
	b.address = v4("127.0.0.1");
	b.port = cart_udp;
	set(backends, &(__u32){2}, &b);

	inner("endpoints", BPF_MAP_TYPE_HASH, n, sizeof(struct weir_address),
	      sizeof(struct weir_endpoint), 8);
	inner("cidrs", BPF_MAP_TYPE_LPM_TRIE, n, sizeof(struct weir_cidr_key),
	      sizeof(struct weir_cidr), 8);
	ports = inner("ports", BPF_MAP_TYPE_HASH, n, sizeof(struct weir_port_key),
		      sizeof(struct weir_port), 16);
	own(ports, db_port, WEIR_TCP, DB, DB_IDENTITY);
	own(ports, cart_port, WEIR_TCP, CART, CART_IDENTITY);
	own(ports, cart_udp, WEIR_UDP, CART, CART_IDENTITY);
	own(ports, proxy_port, WEIR_TCP, WEIR_PROXY, WEIR_PROXY);
	inner("port_classes", BPF_MAP_TYPE_ARRAY, f, 4, sizeof(struct weir_port_classes), 1);
}

/* -- sockets ------------------------------------------------------------------ */

union any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t address(union any *a, const char *text, __u16 port)
{
	memset(a, 0, sizeof(*a));
	if (strchr(text, ':')) {
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(port);
		inet_pton(AF_INET6, text, &a->in6.sin6_addr);
		return sizeof(a->in6);
	}
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons(port);
	inet_pton(AF_INET, text, &a->in.sin_addr);
	return sizeof(a->in);
}

static int serve(const char *text, int type, __u16 *port)
{
	union any a;
	socklen_t size = address(&a, text, 0);
	int fd = socket(a.sa.sa_family, type, 0);

	if (fd < 0 || bind(fd, &a.sa, size) || (type == SOCK_STREAM && listen(fd, 64)) ||
	    getsockname(fd, &a.sa, &size))
		die("server");
	*port = ntohs(a.in.sin_port);
	return fd;
}

/* Runs in a child inside a cgroup; its result is the exit status. */
static int inside(const char *cgroup, int (*what)(const void *), const void *with)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(10);
		enter(cgroup);
		_exit(what(with));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct where {
	const char *address;
	__u16 port;
};

/* errno of a connect, 0 if it succeeds. */
static int try_connect(const void *with)
{
	const struct where *to = with;
	union any a;
	socklen_t size = address(&a, to->address, to->port);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

	return fd < 0 || connect(fd, &a.sa, size) ? errno : 0;
}

static int try_peername(const void *with)
{
	const struct where *to = with;
	union any a, peer;
	socklen_t size = address(&a, to->address, to->port), peer_size = sizeof(peer);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);

	if (connect(fd, &a.sa, size))
		return errno;
	if (getpeername(fd, &peer.sa, &peer_size))
		return errno;
	return peer_size == size && memcmp(&peer, &a, size) == 0 ? 0 : 255;
}

/* Connects, reads what the proxy was told, compares. */
static int try_handover(const void *with)
{
	const struct where *to = with;
	union any a;
	socklen_t size = address(&a, to->address, to->port);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0);
	struct weir_origin origin, expected = {
					   .source = WEB,
					   .destination = SHOP,
					   .port = to->port,
					   .protocol = WEIR_TCP,
				   };
	int yes = try_peername(with);

	if (yes)
		return yes;
	if (connect(fd, &a.sa, size))
		return errno;
	if (recv(fd, &origin, sizeof(origin), MSG_WAITALL) != sizeof(origin))
		return 254;
	if (a.sa.sa_family == AF_INET)
		weir_address_from_v4(&expected.address, a.in.sin_addr.s_addr);
	else
		memcpy(&expected.address, &a.in6.sin6_addr, 16);
	expected.cgroup = cgroup_id("web");
	return memcmp(&origin, &expected, sizeof(origin)) ? 253 : 0;
}

/* Each racer has a virtual port of its own; whoever is told another's, counts. */
static int race(const void *with)
{
	int wrong = 0;
	pid_t pids[RACERS];

	(void)with;
	for (int r = 0; r < RACERS; r++) {
		pids[r] = fork();
		if (pids[r])
			continue;
		alarm(60);
		for (int i = 0; i < RACES; i++) {
			union any a;
			socklen_t size = address(&a, "10.96.0.6", FIRST_RACE + r);
			struct weir_origin origin = {};
			struct linger now = {.l_onoff = 1};
			int fd = socket(AF_INET, SOCK_STREAM, 0);

			wrong += connect(fd, &a.sa, size) ||
				 recv(fd, &origin, sizeof(origin), MSG_WAITALL) != sizeof(origin) ||
				 origin.port != FIRST_RACE + r || origin.source != WEB ||
				 origin.address.word[3] != a.in.sin_addr.s_addr;
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
			close(fd);
		}
		_exit(wrong > 250 ? 250 : wrong);
	}
	alarm(60);
	for (int r = 0; r < RACERS; r++) {
		int status;

		waitpid(pids[r], &status, 0);
		wrong += WIFEXITED(status) ? WEXITSTATUS(status) : 250;
	}
	return wrong > 250 ? 250 : wrong;
}

static int try_socket(const void *with)
{
	const int *how = with;
	int fd = socket(how[0], how[1], how[2]);

	return fd < 0 ? errno : 0;
}

static int try_bind(const void *with)
{
	const struct where *to = with;
	union any a;
	socklen_t size = address(&a, to->address, to->port);
	int fd = socket(a.sa.sa_family, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return bind(fd, &a.sa, size) ? errno : 0;
}

/* Sends to a virtual address, and wants the answer to come from it. */
static int try_udp(const void *with)
{
	const struct where *to = with;
	union any a, from = {};
	socklen_t size = address(&a, to->address, to->port), from_size = sizeof(from);
	int fd = socket(a.sa.sa_family, SOCK_DGRAM, 0);
	char buffer[16];

	if (sendto(fd, "ping", 4, 0, &a.sa, size) != 4)
		return errno;
	if (recvfrom(fd, buffer, sizeof(buffer), 0, &from.sa, &from_size) != 4)
		return 254;
	return from_size == size && memcmp(&from, &a, size) == 0 ? 0 : 253;
}

/* A server that may reach nobody answers whoever asked, and nobody else. */
static int try_reply(const void *with)
{
	const int *port_pipe = with;
	union any a, peer;
	socklen_t size = address(&a, "127.0.0.1", 0), peer_size = sizeof(peer);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char buffer[16];

	if (bind(fd, &a.sa, size) || getsockname(fd, &a.sa, &size))
		return errno;
	if (write(port_pipe[1], &a.in.sin_port, 2) != 2)
		return 252;
	if (recvfrom(fd, buffer, sizeof(buffer), 0, &peer.sa, &peer_size) != 4)
		return 254;
	if (sendto(fd, "pong", 4, 0, &peer.sa, peer_size) != 4)
		return 253;
	peer.in.sin_port = htons(ntohs(peer.in.sin_port) ^ 1);
	return sendto(fd, "pong", 4, 0, &peer.sa, peer_size) == 4 ? 0 : errno;
}

static int use_foreign_socket(const void *with)
{
	const struct where *to = with;
	union any a;
	socklen_t size = address(&a, to->address, to->port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	enter("cart");
	return connect(fd, &a.sa, size) ? errno : 0;
}

struct proxy {
	__u16 port;
	int ready;
};

static int proxy_loop(const struct proxy *with)
{
	int listeners[2], one = 1;
	union any a;
	socklen_t size;

	for (int i = 0; i < 2; i++) {
		size = address(&a, i ? "::1" : "127.0.0.1", with->port);
		listeners[i] = socket(a.sa.sa_family, SOCK_STREAM, 0);
		setsockopt(listeners[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(listeners[i], &a.sa, size) || listen(listeners[i], 64))
			return errno;
	}
	if (write(with->ready, "", 1) != 1)
		return errno;
	struct pollfd polls[2] = {{.fd = listeners[0], .events = POLLIN},
				  {.fd = listeners[1], .events = POLLIN}};

	alarm(60);
	for (;;) {
		if (poll(polls, 2, -1) < 0)
			return errno;
		for (int i = 0; i < 2; i++) {
			struct weir_origin origin = {};
			socklen_t size = sizeof(origin);
			union any original;
			socklen_t original_size = sizeof(original);
			int fd;

			if (!(polls[i].revents & POLLIN))
				continue;
			fd = accept(listeners[i], NULL, NULL);
			if (getsockopt(fd, SOL_IP, WEIR_SO_ORIGIN, &origin, &size) ||
			    size != sizeof(origin))
				fprintf(stderr, "# no origin: %s\n", strerror(errno));
			else if (weir_address_is_v4(&origin.address)
					 ? getsockopt(fd, SOL_IP, 80, &original, &original_size) ||
						   original.in.sin_port != htons(origin.port) ||
						   original.in.sin_addr.s_addr !=
							   origin.address.word[3]
					 : getsockopt(fd, SOL_IPV6, 80, &original,
						      &original_size) ||
						   original.in6.sin6_port != htons(origin.port) ||
						   memcmp(&original.in6.sin6_addr, &origin.address,
							  16))
				fprintf(stderr, "# SO_ORIGINAL_DST differs: %s\n", strerror(errno));
			else if (send(fd, &origin, sizeof(origin), MSG_NOSIGNAL) < 0)
				perror("# send");
			close(fd);
		}
	}
}

static __u64 sum(const char *map, const void *key, size_t offset, size_t size)
{
	int cpus = libbpf_num_possible_cpus();
	char *values = calloc(cpus, size);
	__u64 total = 0;

	if (bpf_map_lookup_elem(map_fd(map), key, values) == 0)
		for (int i = 0; i < cpus; i++)
			total += *(__u64 *)(values + i * size + offset);
	free(values);
	return total;
}

static __u64 refusals(__u32 source, __u32 destination, __u32 rule, __u16 port, __u8 protocol,
		      __u8 reason)
{
	struct weir_refusal_key key = {.source = source,
				       .destination = destination,
				       .rule = rule,
				       .port = port,
				       .protocol = protocol,
				       .reason = reason};

	return sum("refusals", &key, 0, 8);
}

static int count_keys(const char *map, size_t size)
{
	char key[512], next[512], *last = NULL;
	int n = 0;

	while (bpf_map_get_next_key(map_fd(map), last, next) == 0) {
		memcpy(key, next, size);
		last = key;
		n++;
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *programs[] = {"weir_connect4",     "weir_connect6",     "weir_sendmsg4",
				  "weir_sendmsg6",     "weir_recvmsg4",     "weir_recvmsg6",
				  "weir_getpeername4", "weir_getpeername6", "weir_sock_create",
				  "weir_bind4",        "weir_bind6",        "weir_sock_ops",
				  "weir_getsockopt",   "weir_ingress"};
	const char *tracing[] = {"weir_cgroup_mkdir", "weir_cgroup_rmdir",
				 "weir_cgroup_attach_task"};
	__u16 db_port, cart_port, cart_port6, cart_udp, proxy_port, port;
	int cgroup, udp, pipes[2], result;
	char path[600], buffer[16];
	union any a;
	socklen_t size;
	pid_t proxy_pid, pid;

	if (argc < 2) {
		fprintf(stderr, "usage: kernel_smoke WEIR_OBJECT [VERDICT_TEST_OBJECT]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	find_cgroup2();
	snprintf(top, sizeof(top), "/weir-test-smoke-%d", getpid());

	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object))
		die(argv[1]);
	make_cgroup("");
	atexit(clean);
	path_of(path, sizeof(path), "");
	cgroup = open(path, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++)
		if (!bpf_program__attach_cgroup(
			    bpf_object__find_program_by_name(object, programs[i]), cgroup))
			die(programs[i]);
	for (size_t i = 0; i < sizeof(tracing) / sizeof(*tracing); i++)
		if (!bpf_program__attach(bpf_object__find_program_by_name(object, tracing[i])))
			die(tracing[i]);

	declare("web", WEB);
	declare("db", DB);
	declare("cart", CART);
	declare("proxy", WEIR_PROXY);
	declare("governed", WEIR_UNKNOWN);
	make_cgroup("web");
	make_cgroup("web/worker");
	make_cgroup("db");
	make_cgroup("cart");
	make_cgroup("proxy");
	make_cgroup("governed");
	make_cgroup("governed/x");
	make_cgroup("plain");
	check(count_keys("cgroups", 8) == 5, "mkdir enrols the declared cgroups (%d of 5)",
	      count_keys("cgroups", 8));

	udp = serve("127.0.0.1", SOCK_DGRAM, &cart_udp);
	serve("127.0.0.1", SOCK_STREAM, &db_port);
	serve("127.0.0.1", SOCK_STREAM, &cart_port);
	serve("::1", SOCK_STREAM, &cart_port6);
	close(serve("127.0.0.1", SOCK_STREAM, &proxy_port)); /* a port that was free just now */

	struct where to_db = {"127.0.0.1", db_port}, to_db6 = {"::ffff:127.0.0.1", db_port};
	struct where db_any = {"0.0.0.0", db_port}, db_other = {"127.9.9.9", db_port};

	check(inside("web", try_connect, &to_db) == ECONNREFUSED,
	      "no generation: a workload is refused");
	check(inside("plain", try_connect, &to_db) == 0, "no generation: the host passes");

	fill(db_port, cart_port, cart_port6, cart_udp, proxy_port);

	check(inside("cart", try_connect, &to_db) == 0, "cart reaches db");
	check(inside("cart", try_connect, &db_any) == 0, "cart reaches db by 0.0.0.0");
	check(inside("web", try_connect, &to_db) == ECONNREFUSED, "web is refused");
	check(inside("web/worker", try_connect, &to_db) == ECONNREFUSED,
	      "a child cgroup inherits the refusal");
	check(inside("governed/x", try_connect, &to_db) == ECONNREFUSED,
	      "unknown in a governed part is refused");
	check(inside("plain", try_connect, &to_db) == 0, "the host is not governed");
	check(inside("web", try_connect, &to_db6) == ECONNREFUSED, "web is refused, v4-mapped");
	check(inside("web", try_connect, &db_any) == ECONNREFUSED, "web is refused by 0.0.0.0");
	check(inside("web", try_connect, &db_other) == ECONNREFUSED, "web is refused by 127.9.9.9");
	check(refusals(WEB, DB, 102, db_port, WEIR_TCP, WEIR_REASON_DEFAULT_DENY) == 5,
	      "five refusals are counted with source, destination and rule (%llu)",
	      refusals(WEB, DB, 102, db_port, WEIR_TCP, WEIR_REASON_DEFAULT_DENY));

	struct where vip = {"10.96.0.5", 80}, vip_mapped = {"::ffff:10.96.0.5", 80};
	struct where vip6 = {"fd00::5", 80}, empty = {"10.96.0.7", 80};

	check(inside("web", try_peername, &vip) == 0, "VIP v4, getpeername tells the VIP");
	check(inside("web", try_peername, &vip_mapped) == 0, "VIP v4-mapped");
	check(inside("web", try_peername, &vip6) == 0, "VIP v6");
	check(inside("plain", try_peername, &vip) == 0, "VIP from the ungoverned host");
	check(inside("web", try_connect, &empty) == ECONNREFUSED, "a service without backend");
	check(refusals(WEB, 30, 101, 80, WEIR_TCP, WEIR_REASON_NO_BACKEND) == 1, "is counted so");

	if (pipe(pipes))
		die("pipe");
	struct proxy proxy = {.port = proxy_port, .ready = pipes[1]};
	proxy_pid = fork();
	if (proxy_pid == 0) {
		enter("proxy");
		_exit(proxy_loop(&proxy));
	}
	close(pipes[1]);
	check(read(pipes[0], buffer, 1) == 1, "the proxy may listen on its port");
	close(pipes[0]);
	struct where shop = {"10.96.0.6", 80}, shop_mapped = {"::ffff:10.96.0.6", 80};
	struct where shop6 = {"fd00::6", 80};

	result = inside("web", try_handover, &shop);
	check(result == 0, "redirect v4: the proxy knows origin and source (%d)", result);
	result = inside("web", try_handover, &shop_mapped);
	check(result == 0, "redirect v4-mapped (%d)", result);
	result = inside("web", try_handover, &shop6);
	check(result == 0, "redirect v6 (%d)", result);
	result = inside("web", race, NULL);
	check(result == 0, "%d racing connections, each is told its own origin (%d wrong)",
	      RACERS * RACES, result);
	check(inside("cart", try_connect, &shop) == ECONNREFUSED, "no row to the shop: refused");
	kill(proxy_pid, SIGKILL);
	waitpid(proxy_pid, NULL, 0);
	check(count_keys("handovers", sizeof(struct weir_handover_key)) == 0,
	      "no hand-over is left behind (%d)",
	      count_keys("handovers", sizeof(struct weir_handover_key)));
	check(inside("web", try_connect, &shop) == ECONNREFUSED, "proxy down: refused");
	check(refusals(WEB, SHOP, 101, 80, WEIR_TCP, WEIR_REASON_NO_PROXY) == 1, "is counted so");
	check(count_keys("handovers", sizeof(struct weir_handover_key)) == 0,
	      "and no hand-over is left behind");

	int raw[] = {AF_INET, SOCK_RAW, IPPROTO_ICMP}, mptcp[] = {AF_INET, SOCK_STREAM, 262};
	int udplite[] = {AF_INET, SOCK_DGRAM, 136}, ping[] = {AF_INET, SOCK_DGRAM, IPPROTO_ICMP};

	check(inside("web", try_socket, raw) == EPERM, "raw socket refused");
	check(inside("plain", try_socket, raw) == 0, "raw socket allowed to the host");
	check(inside("web", try_socket, mptcp) == EPROTONOSUPPORT, "MPTCP refused");
	check(inside("plain", try_socket, mptcp) == 0, "MPTCP allowed to the host");
	check(inside("web", try_socket, udplite) == EPROTONOSUPPORT, "UDP-Lite refused");
	result = inside("db", try_socket, ping);
	check(result == EACCES, "ping refused to who is isolated for egress (%d)", result);

	struct where squat = {"0.0.0.0", proxy_port}, squat6 = {"::", proxy_port};

	check(inside("proxy", try_bind, &squat) == 0, "the owner binds its port");
	check(inside("web", try_bind, &squat) == EACCES, "nobody else binds it");
	check(inside("web", try_bind, &squat6) == EACCES, "nor on IPv6");
	check(inside("plain", try_bind, &squat) == EACCES, "nor the host");

	check(inside("web", use_foreign_socket, &to_db) == ECONNREFUSED,
	      "cart may not use a socket born in web");
	check(refusals(CART, 0, 101, db_port, WEIR_TCP, WEIR_REASON_BIRTH) == 1,
	      "and it is counted");

	struct where udp_vip = {"10.96.0.5", 53};

	pid = fork();
	if (pid == 0) {
		_exit(inside("web", try_udp, &udp_vip));
	}
	size = sizeof(a);
	if (recvfrom(udp, buffer, sizeof(buffer), 0, &a.sa, &size) == 4)
		sendto(udp, "pong", 4, 0, &a.sa, size);
	waitpid(pid, &result, 0);
	check(WEXITSTATUS(result) == 0, "UDP to a VIP, the answer comes from the VIP (%d)",
	      WEXITSTATUS(result));

	if (pipe(pipes))
		die("pipe");
	pid = fork();
	if (pid == 0)
		_exit(inside("db", try_reply, pipes));
	if (read(pipes[0], &port, 2) != 2)
		die("pipe");
	size = address(&a, "127.0.0.1", ntohs(port));
	sendto(udp, "ping", 4, 0, &a.sa, size);
	check(recv(udp, buffer, sizeof(buffer), 0) == 4, "a reply to who asked passes");
	waitpid(pid, &result, 0);
	check(WEXITSTATUS(result) == ECONNREFUSED, "a datagram to anybody else does not (%d)",
	      WEXITSTATUS(result));

	generation.flags = WEIR_GENERATION_AUDIT;
	put_generation();
	check(inside("web", try_connect, &to_db) == 0, "audit: allowed");
	check(refusals(WEB, DB, 102, db_port, WEIR_TCP, WEIR_REASON_DEFAULT_DENY | WEIR_AUDITED) ==
		      1,
	      "audit: counted");
	generation.flags = WEIR_GENERATION_EPERM;
	put_generation();
	check(inside("web", try_connect, &to_db) == EPERM, "EPERM where Mesh says so");

	struct weir_pair_key pair = {.source = WEB,
				     .destination = DB,
				     .port = db_port,
				     .protocol = WEIR_TCP,
				     .verdict = WEIR_AUDIT};
	check(sum("pairs", &pair, offsetof(struct weir_pair, opened), sizeof(struct weir_pair)) ==
		      1,
	      "what audit let pass is counted as such");
	pair.source = CART;
	pair.verdict = WEIR_ALLOW;
	check(sum("pairs", &pair, offsetof(struct weir_pair, opened), sizeof(struct weir_pair)) ==
			      2 &&
		      sum("pairs", &pair, offsetof(struct weir_pair, closed),
			  sizeof(struct weir_pair)) == 2,
	      "opened and closed are counted");
	pair.source = WEB;
	pair.destination = SHOP;
	pair.port = 80;
	pair.verdict = WEIR_INSPECT;
	check(sum("pairs", &pair, offsetof(struct weir_pair, opened), sizeof(struct weir_pair)) ==
		      6,
	      "six connections to the shop (%llu)",
	      sum("pairs", &pair, offsetof(struct weir_pair, opened), sizeof(struct weir_pair)));
	/* A FIN may count as one byte more for each of them; see weir_closed. */
	__u64 received = sum("pairs", &pair, offsetof(struct weir_pair, received_bytes),
			     sizeof(struct weir_pair));
	check(received >= 6 * sizeof(struct weir_origin) &&
		      received <= 6 * (sizeof(struct weir_origin) + 1) &&
		      sum("pairs", &pair, offsetof(struct weir_pair, sent_bytes),
			  sizeof(struct weir_pair)) == 0,
	      "and the bytes they carried (%llu)", received);
	check(sum("pairs", &pair, offsetof(struct weir_pair, failed), sizeof(struct weir_pair)) ==
		      0,
	      "and none that failed");

	if (argc > 2) {
		struct weir_verdict_test {
			__u8 ethernet[16];
			__u32 source, destination;
			__u16 port;
			__u8 protocol, verdict;
			__u16 rule;
			__u8 reason, answered;
			__u64 generation;
		} test = {.source = WEB_IDENTITY,
			  .destination = SHOP_IDENTITY,
			  .port = 80,
			  .protocol = WEIR_TCP};
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &test, .data_size_in = sizeof(test),
			    .data_out = &test, .data_size_out = sizeof(test));
		struct bpf_object *asked = bpf_object__open_file(argv[2], NULL);
		struct bpf_map *map;

		if (!asked)
			die(argv[2]);
		bpf_object__for_each_map(
			map, asked) if (bpf_map__reuse_fd(map, map_fd(bpf_map__name(map))))
			die(bpf_map__name(map));
		if (bpf_object__load(asked) ||
		    bpf_prog_test_run_opts(bpf_program__fd(bpf_object__find_program_by_name(
						   asked, "weir_verdict_test")),
					   &run))
			die(argv[2]);
		check(run.retval == WEIR_INSPECT && test.answered && test.verdict == WEIR_INSPECT &&
			      test.rule == 6 && test.generation == 7,
		      "the tc program gives the same verdict on the same maps");
		bpf_object__close(asked);
	}

	/* A restart: rmdir forgets, mkdir knows again. */
	path_of(path, sizeof(path), "db");
	for (int n = 0; rmdir(path) && n < 100; n++)
		usleep(10000);
	check(count_keys("cgroups", 8) == 4, "rmdir forgets");
	make_cgroup("db");
	check(count_keys("cgroups", 8) == 5, "mkdir knows again");

	printf("1..%d\n", checks);
	return failures != 0;
}
