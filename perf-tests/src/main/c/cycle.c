// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of a connect cycle, measured from the inside.
 *
 *   cycle server ADDRESS PORT   answers every 64-byte request with 64 bytes. The first byte of a
 *                               request says what follows it: 'x' the server closes, 'm' it waits
 *                               for the next request. Prints "ready" when it listens.
 *   cycle udp-server ADDRESS PORT answers each datagram that begins with 'm', and reads the others.
 *   cycle client                reads one block per line from standard input and answers each with
 *                               one line:
 *       connect ADDRESS PORT COUNT    COUNT times: socket, connect, close with a reset
 *       exchange ADDRESS PORT COUNT   COUNT times: socket, connect, one request and its answer,
 *                                     end of file, close
 *       messages ADDRESS PORT COUNT   one connection, COUNT requests and answers
 *       refused ADDRESS PORT COUNT    COUNT times: socket, connect that is refused, close
 *       send ADDRESS PORT COUNT       one UDP socket that is not connected, COUNT datagrams
 *       ask ADDRESS PORT COUNT        the same with an answer to each
 *       talk ADDRESS PORT COUNT       one connected UDP socket, COUNT datagrams, an answer to each
 *       quit
 *     ok COUNT CPU_NS WALL_NS P50_NS P99_NS
 *     error WHAT: WHY
 *
 * CPU_NS is this thread's own processor time for the whole block: user and system, and the soft
 * interrupts that run in its system calls, which over loopback is the whole handshake of both ends.
 * P50 and P99 are of the connect() calls alone (of one request and answer with `messages`, `ask` and
 * `talk`, of one call with `send`). The client stays one process for all blocks, so that no block pays for its start.
 *
 * Closing with a reset, or letting the server close first, keeps TIME_WAIT off the client's ports:
 * else the search for a free port would be measured more and more with each block.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define MOST    1000000

static uint64_t now(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	return (uint64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int fail(const char *what)
{
	printf("error %s: %s\n", what, strerror(errno));
	return -1;
}

/* Length of the address, 0 if the text is none. */
static socklen_t parse(const char *text, int port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	return 0;
}

static bool read_message(int fd, char *buffer)
{
	size_t have = 0;

	while (have < MESSAGE) {
		ssize_t n = read(fd, buffer + have, MESSAGE - have);

		if (n <= 0)
			return false;
		have += n;
	}
	return true;
}

static int serve(const char *address, int port)
{
	struct sockaddr_storage at;
	socklen_t length = parse(address, port, &at);
	int one = 1, listener;

	if (!length) {
		errno = EINVAL;
		return fail(address);
	}
	listener = socket(at.ss_family, SOCK_STREAM, 0);
	if (listener < 0)
		return fail("socket");
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, length))
		return fail("bind");
	if (listen(listener, 512))
		return fail("listen");
	puts("ready");

	for (;;) {
		char buffer[MESSAGE];
		int fd = accept(listener, NULL, NULL);

		if (fd < 0) {
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return fail("accept");
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		while (read_message(fd, buffer)) {
			if (write(fd, buffer, MESSAGE) != MESSAGE || buffer[0] == 'x')
				break;
		}
		close(fd);
	}
}

static int serve_datagrams(const char *address, int port)
{
	struct sockaddr_storage at, from;
	socklen_t length = parse(address, port, &at), size;
	int room = 8 << 20, fd;

	if (!length) {
		errno = EINVAL;
		return fail(address);
	}
	fd = socket(at.ss_family, SOCK_DGRAM, 0);
	if (fd < 0)
		return fail("socket");
	/* A whole block fits, so that no datagram is cheap because there was no room for it. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		return fail("SO_RCVBUFFORCE");
	if (bind(fd, (struct sockaddr *)&at, length))
		return fail("bind");
	puts("ready");

	for (;;) {
		char buffer[MESSAGE];
		ssize_t n;

		size = sizeof(from);
		n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &size);
		if (n > 0 && buffer[0] == 'm' &&
		    sendto(fd, buffer, n, 0, (struct sockaddr *)&from, size) != n)
			return fail("sendto");
	}
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int connected(const struct sockaddr_storage *to, socklen_t length, uint64_t *took)
{
	uint64_t started;
	int fd = socket(to->ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		return fail("socket");
	started = now(CLOCK_MONOTONIC);
	if (connect(fd, (const struct sockaddr *)to, length)) {
		fail("connect");
		close(fd);
		return -1;
	}
	*took = now(CLOCK_MONOTONIC) - started;
	return fd;
}

static int cycle_connect(const struct sockaddr_storage *to, socklen_t length, uint64_t *took)
{
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = connected(to, length, took);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	return 0;
}

static int cycle_exchange(const struct sockaddr_storage *to, socklen_t length, uint64_t *took)
{
	char buffer[MESSAGE] = "x", end;
	int fd = connected(to, length, took);
	int bad = 0;

	if (fd < 0)
		return -1;
	if (write(fd, buffer, MESSAGE) != MESSAGE)
		bad = fail("write");
	else if (!read_message(fd, buffer))
		bad = fail("no answer");
	else if (read(fd, &end, 1) != 0)
		bad = fail("no end of file");
	close(fd);
	return bad;
}

static int messages(const struct sockaddr_storage *to, socklen_t length, uint64_t *took, long count)
{
	char buffer[MESSAGE] = "m";
	uint64_t ignored;
	int one = 1, bad = 0;
	int fd = connected(to, length, &ignored);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (long i = 0; i < count && !bad; i++) {
		uint64_t started = now(CLOCK_MONOTONIC);

		buffer[0] = i + 1 < count ? 'm' : 'x';
		if (write(fd, buffer, MESSAGE) != MESSAGE)
			bad = fail("write");
		else if (!read_message(fd, buffer))
			bad = fail("no answer");
		took[i] = now(CLOCK_MONOTONIC) - started;
	}
	close(fd);
	return bad;
}

/* `answered`: each datagram has an answer, which must come within a second. */
static int datagrams(const struct sockaddr_storage *to, socklen_t length, uint64_t *took,
		     long count, bool connected, bool answered)
{
	struct timeval second = {.tv_sec = 1};
	char buffer[MESSAGE] = "";
	int bad = 0, fd = socket(to->ss_family, SOCK_DGRAM, 0);

	if (fd < 0)
		return fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	if (connected && connect(fd, (const struct sockaddr *)to, length))
		bad = fail("connect");
	for (long i = 0; i < count && !bad; i++) {
		uint64_t started = now(CLOCK_MONOTONIC);

		buffer[0] = answered ? 'm' : 's';
		if (sendto(fd, buffer, MESSAGE, 0, connected ? NULL : (const struct sockaddr *)to,
			   connected ? 0 : length) != MESSAGE)
			bad = fail("sendto");
		else if (answered && recv(fd, buffer, MESSAGE, 0) != MESSAGE)
			bad = fail("no answer");
		took[i] = now(CLOCK_MONOTONIC) - started;
	}
	close(fd);
	return bad;
}

static int cycle_refused(const struct sockaddr_storage *to, socklen_t length, uint64_t *took)
{
	int fd = socket(to->ss_family, SOCK_STREAM, 0), error;
	uint64_t started;

	if (fd < 0)
		return fail("socket");
	started = now(CLOCK_MONOTONIC);
	error = connect(fd, (const struct sockaddr *)to, length) ? errno : 0;
	*took = now(CLOCK_MONOTONIC) - started;
	close(fd);
	if (error == ECONNREFUSED)
		return 0;
	errno = error;
	return fail(error ? "connect" : "connect was not refused");
}

static void block(const char *what, const struct sockaddr_storage *to, socklen_t length,
		  uint64_t *took, long count)
{
	uint64_t cpu = now(CLOCK_THREAD_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
	int bad = 0;

	if (!strcmp(what, "messages")) {
		bad = messages(to, length, took, count);
	} else if (!strcmp(what, "send")) {
		bad = datagrams(to, length, took, count, false, false);
	} else if (!strcmp(what, "ask")) {
		bad = datagrams(to, length, took, count, false, true);
	} else if (!strcmp(what, "talk")) {
		bad = datagrams(to, length, took, count, true, true);
	} else if (!strcmp(what, "refused")) {
		for (long i = 0; i < count && !bad; i++)
			bad = cycle_refused(to, length, &took[i]);
	} else if (!strcmp(what, "exchange")) {
		for (long i = 0; i < count && !bad; i++)
			bad = cycle_exchange(to, length, &took[i]);
	} else if (!strcmp(what, "connect")) {
		for (long i = 0; i < count && !bad; i++)
			bad = cycle_connect(to, length, &took[i]);
	} else {
		errno = EINVAL;
		bad = fail(what);
	}
	if (bad)
		return; /* said already */
	cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	qsort(took, count, sizeof(*took), by_size);
	printf("ok %ld %llu %llu %llu %llu\n", count, (unsigned long long)cpu,
	       (unsigned long long)wall, (unsigned long long)took[count / 2],
	       (unsigned long long)took[count * 99 / 100]);
}

static int client(void)
{
	uint64_t *took = calloc(MOST, sizeof(*took));
	char line[256];

	if (!took)
		return fail("calloc");
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		char what[16], address[64];
		struct sockaddr_storage to;
		socklen_t length;
		long count;
		int port;

		if (!strncmp(line, "quit", 4))
			break;
		if (sscanf(line, "%15s %63s %d %ld", what, address, &port, &count) != 4 ||
		    count < 1 || count > MOST || port < 1 || port > 65535 ||
		    !(length = parse(address, port, &to))) {
			errno = EINVAL;
			fail("expected WHAT ADDRESS PORT COUNT");
			continue;
		}
		block(what, &to, length, took, count);
	}
	free(took);
	return 0;
}

int main(int argc, char **argv)
{
	/* Nothing of a benchmark outlives the harness, however that ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && !strcmp(argv[1], "server"))
		return serve(argv[2], atoi(argv[3])) ? 1 : 0;
	if (argc == 4 && !strcmp(argv[1], "udp-server"))
		return serve_datagrams(argv[2], atoi(argv[3])) ? 1 : 0;
	if (argc == 2 && !strcmp(argv[1], "client"))
		return client() ? 1 : 0;
	fputs("usage: cycle server|udp-server ADDRESS PORT | cycle client\n", stderr);
	return 2;
}
