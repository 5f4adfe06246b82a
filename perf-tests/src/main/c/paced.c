// SPDX-License-Identifier: Apache-2.0
/*
 * Asks over HTTP/1.1 at a constant rate, and says how long answers took.
 *
 *   paced ADDRESS PORT RATE CONNECTIONS SECONDS
 *     ok ANSWERED P50_NS P99_NS MOST_NS
 *     error WHAT: WHY
 *
 * One request is due every 1/RATE seconds, whether or not earlier ones were answered, and goes to
 * the connection that has been idle for longest. An answer's time counts from when its request was
 * due: who is slow once is slow for all that had to wait for it, and none of them is left out. The
 * first tenth is not counted. What is not answered with status 200 ends the run.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD 4096

struct connection {
	int fd;
	uint64_t due;
	char head[HEAD + 1];
	size_t have; /* of the head, while it is not whole */
	long left;   /* of the body; -1 while the head is not whole */
};

static int fail(const char *what)
{
	printf("error %s: %s\n", what, errno ? strerror(errno) : "not what was expected");
	return 1;
}

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Takes what came. 1: the answer is whole, 0: not yet, -1: it is no good. */
static int take(struct connection *c)
{
	char buffer[16384];
	ssize_t got = read(c->fd, buffer, sizeof(buffer));
	size_t fits, more;
	char *end, *length;

	if (got < 0)
		return errno == EAGAIN ? 0 : -1;
	errno = 0;
	if (got == 0)
		return -1;
	if (c->left >= 0) {
		c->left -= got;
		return c->left < 0 ? -1 : c->left == 0;
	}
	fits = HEAD - c->have < (size_t)got ? HEAD - c->have : (size_t)got;
	memcpy(c->head + c->have, buffer, fits);
	c->have += fits;
	c->head[c->have] = 0;
	end = strstr(c->head, "\r\n\r\n");
	if (!end)
		return c->have == HEAD ? -1 : 0;
	if (strncmp(c->head, "HTTP/1.1 200", 12) != 0)
		return -1;
	end[2] = 0;
	length = strcasestr(c->head, "\r\ncontent-length:");
	if (!length)
		return -1;
	more = (c->have - fits) + got - (end + 4 - c->head);
	c->left = atol(length + 17) - (long)more;
	return c->left < 0 ? -1 : c->left == 0;
}

int main(int argc, char **argv)
{
	static const char request[] = "GET /item HTTP/1.1\r\nHost: bench\r\n\r\n";
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct epoll_event events[256];
	uint64_t began, at, count = 0, due = 0, answered = 0, kept = 0, all;
	uint64_t *times;
	struct connection *connections;
	int *idle, first = 0, idles, connects, epoll, yes = 1;
	double rate;

	setvbuf(stdout, NULL, _IOLBF, 0);
	prctl(PR_SET_TIMERSLACK, 1);
	if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return fail("arguments");
	to.sin_port = htons(atoi(argv[2]));
	rate = atof(argv[3]);
	connects = atoi(argv[4]);
	all = rate * atof(argv[5]);
	times = malloc((all + 1) * sizeof(*times));
	connections = calloc(connects, sizeof(*connections));
	idle = calloc(connects, sizeof(*idle));
	epoll = epoll_create1(0);
	if (all < 100 || connects < 1 || !times || !connections || !idle || epoll < 0)
		return fail("start");
	for (int i = 0; i < connects; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
		    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) ||
		    fcntl(fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
			return fail("connect");
		connections[i].fd = fd;
		idle[i] = i;
	}
	idles = connects;
	began = now();
	while (answered < all) {
		struct timespec pause = {0};
		int ready;

		at = now();
		while (due < all && began + (uint64_t)(due * 1e9 / rate) <= at && idles > 0) {
			struct connection *c = &connections[idle[first]];

			first = (first + 1) % connects;
			idles--;
			c->due = began + (uint64_t)(due * 1e9 / rate);
			c->have = 0;
			c->left = -1;
			due++;
			if (write(c->fd, request, sizeof(request) - 1) != sizeof(request) - 1)
				return fail("write");
		}
		if (due < all && idles > 0) {
			uint64_t next = began + (uint64_t)(due * 1e9 / rate);

			at = now();
			pause.tv_nsec = next > at ? next - at : 0;
		} else {
			pause.tv_sec = 5;
		}
		ready = epoll_pwait2(epoll, events, 256, &pause, NULL);
		if (ready < 0 && errno != EINTR)
			return fail("epoll_pwait2");
		if (ready == 0 && pause.tv_sec) {
			errno = ETIMEDOUT;
			return fail("answer");
		}
		for (int i = 0; i < ready; i++) {
			int which = events[i].data.u32;
			int whole = take(&connections[which]);

			if (whole < 0)
				return fail("answer");
			if (whole) {
				answered++;
				if (count++ >= all / 10)
					times[kept++] = now() - connections[which].due;
				idle[(first + idles) % connects] = which;
				idles++;
			}
		}
	}
	qsort(times, kept, sizeof(*times), ascending);
	printf("ok %lu %lu %lu %lu\n", answered, times[kept / 2], times[kept - 1 - kept / 100],
	       times[kept - 1]);
	return 0;
}
