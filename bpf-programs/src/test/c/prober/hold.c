// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * Holds many connections open from a cgroup of its own and says what becomes of each, for tests of
 * what happens to connections that are open already.
 *
 * hold [--netns PATH] [--cgroup PATH] [--udp] [--quiet] ADDR PORT COUNT
 *
 * Connects COUNT times and prints {"held":N,"outcomes":{ERRNO:N}}. Then every connection sends
 * numbers and expects each to come back as it went before it sends the next one (a server that
 * echoes; --quiet: nothing is sent). A line on standard input is answered with a line
 *   {"alive":N,"ended":N,"first_ns":T,"last_ns":T,"outcomes":{NAME:N},"rounds":N,"wrong":N,"named":N}
 * about what happened since the start: how many go on, when (CLOCK_MONOTONIC) the first and the
 * last one ended, how (errno, or "eof"), how many numbers came back, how many of them otherwise, and
 * of how many that go on getpeername() tells the address that was asked for.
 * After one that begins with an s, and at the end of standard input, it ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_OUTCOMES 16

struct connection {
	int fd;
	uint64_t sent; /* the number that is to come back */
	unsigned got;  /* bytes of it */
	unsigned char bytes[8];
};

static struct outcome {
	int error; /* 0: eof */
	long count;
} outcomes[MAX_OUTCOMES];
static int distinct;
static long alive, ended, rounds, wrong;
static uint64_t first_ns, last_ns;
static int udp, quiet;

static void fail(const char *what)
{
	fprintf(stderr, "hold: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void count(int error)
{
	int i;

	for (i = 0; i < distinct; i++)
		if (outcomes[i].error == error)
			break;
	if (i == distinct && distinct < MAX_OUTCOMES)
		outcomes[distinct++].error = error;
	if (i < MAX_OUTCOMES)
		outcomes[i].count++;
}

static void print_outcomes(void)
{
	int i;

	printf("\"outcomes\":{");
	for (i = 0; i < distinct; i++)
		printf("%s\"%s\":%ld", i ? "," : "",
		       outcomes[i].error ? strerrorname_np(outcomes[i].error) : "eof",
		       outcomes[i].count);
	printf("}");
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void end(struct connection *c, int error)
{
	last_ns = now();
	if (!first_ns)
		first_ns = last_ns;
	count(error);
	close(c->fd);
	c->fd = -1;
	alive--;
	ended++;
}

static void say(struct connection *c)
{
	c->sent++;
	c->got = 0;
	if (send(c->fd, &c->sent, sizeof(c->sent), MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		end(c, errno);
}

static void hear(struct connection *c)
{
	while (c->fd >= 0) {
		ssize_t size = recv(c->fd, c->bytes + c->got, sizeof(c->bytes) - c->got, 0);

		if (size < 0) {
			if (errno != EAGAIN)
				end(c, errno);
			return;
		}
		if (size == 0) {
			end(c, 0);
			return;
		}
		c->got += size;
		if (c->got < sizeof(c->bytes))
			continue;
		rounds++;
		if (memcmp(c->bytes, &c->sent, sizeof(c->sent)) != 0)
			wrong++;
		say(c);
		return;
	}
}

static int enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || setns(fd, CLONE_NEWNET) ? -1 : close(fd);
}

static int enter_cgroup(const char *path)
{
	char file[4096];
	int fd;

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, "0", 1) != 1 ? -1 : close(fd);
}

/* How many have the peer that they asked for. */
static long named(const struct connection *connections, long count, const struct sockaddr *to,
		  socklen_t size)
{
	long named = 0;

	for (long n = 0; n < count; n++) {
		struct sockaddr_storage peer = {};
		socklen_t length = sizeof(peer);

		if (connections[n].fd >= 0 &&
		    getpeername(connections[n].fd, (struct sockaddr *)&peer, &length) == 0 &&
		    length == size && memcmp(&peer, to, size) == 0)
			named++;
	}
	return named;
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct rlimit files = {1 << 16, 1 << 16};
	struct epoll_event event = {}, events[256];
	struct connection *connections;
	struct sockaddr *to;
	socklen_t size;
	int i, ready, poll, stop;
	long n, wanted;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--udp") == 0)
			udp = 1;
		else if (strcmp(argv[i], "--quiet") == 0)
			quiet = 1;
		else if (i + 1 < argc && strcmp(argv[i], "--netns") == 0) {
			if (enter_netns(argv[++i]))
				fail(argv[i]);
		} else if (i + 1 < argc && strcmp(argv[i], "--cgroup") == 0) {
			if (enter_cgroup(argv[++i]))
				fail(argv[i]);
		}
	}
	if (argc - i != 3) {
		fprintf(stderr, "usage: hold [--netns PATH] [--cgroup PATH] [--udp] [--quiet] ADDR "
				"PORT COUNT\n");
		return 2;
	}
	if (inet_pton(AF_INET, argv[i], &v4.sin_addr) == 1) {
		v4.sin_port = htons(atoi(argv[i + 1]));
		to = (struct sockaddr *)&v4;
		size = sizeof(v4);
	} else if (inet_pton(AF_INET6, argv[i], &v6.sin6_addr) == 1) {
		v6.sin6_port = htons(atoi(argv[i + 1]));
		to = (struct sockaddr *)&v6;
		size = sizeof(v6);
	} else {
		fprintf(stderr, "hold: %s is no address\n", argv[i]);
		return 2;
	}
	wanted = atol(argv[i + 2]);
	setrlimit(RLIMIT_NOFILE, &files);
	connections = calloc(wanted, sizeof(*connections));
	poll = epoll_create1(EPOLL_CLOEXEC);
	if (!connections || poll < 0)
		fail("epoll_create1");
	for (n = 0; n < wanted; n++) {
		struct connection *c = &connections[alive];

		c->fd = socket(to->sa_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
		if (c->fd < 0)
			fail("socket");
		if (connect(c->fd, to, size)) {
			count(errno);
			close(c->fd);
			continue;
		}
		fcntl(c->fd, F_SETFL, O_NONBLOCK);
		alive++;
	}
	printf("{\"held\":%ld,", alive);
	print_outcomes();
	printf("}\n");
	fflush(stdout);
	memset(outcomes, 0, sizeof(outcomes));
	distinct = 0;
	wanted = alive;
	for (n = 0; n < wanted; n++) {
		event.events = EPOLLIN | EPOLLRDHUP;
		event.data.u64 = n;
		if (epoll_ctl(poll, EPOLL_CTL_ADD, connections[n].fd, &event))
			fail("epoll_ctl");
		if (!quiet)
			say(&connections[n]);
	}
	event.events = EPOLLIN;
	event.data.u64 = UINT64_MAX;
	if (epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event))
		fail("epoll_ctl(stdin)");
	while ((ready = epoll_wait(poll, events, 256, -1)) >= 0 || errno == EINTR) {
		for (i = 0; i < ready; i++) {
			char line[64];

			if (events[i].data.u64 != UINT64_MAX) {
				hear(&connections[events[i].data.u64]);
				continue;
			}
			n = read(0, line, sizeof(line));
			if (n <= 0)
				return 0;
			stop = line[0] == 's';
			printf("{\"alive\":%ld,\"ended\":%ld,\"first_ns\":%llu,\"last_ns\":%llu,",
			       alive, ended, (unsigned long long)first_ns,
			       (unsigned long long)last_ns);
			print_outcomes();
			printf(",\"rounds\":%ld,\"wrong\":%ld,\"named\":%ld}\n", rounds, wrong,
			       named(connections, wanted, to, size));
			fflush(stdout);
			if (stop)
				return 0;
		}
	}
	fail("epoll_wait");
}
