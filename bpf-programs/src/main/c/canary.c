/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * The canary of the agent's audits: connects to the agent from inside governed cgroups, as an
 * application would, and says how each connect ended.
 *
 *   canary ALLOWED REFUSED PORT4 PORT6
 *
 * ALLOWED and REFUSED are directories of cgroups, PORT4 and PORT6 ports on loopback of IPv4 and
 * IPv6; 0 for none. Prints four numbers: ALLOWED over IPv4 and IPv6, then REFUSED. 0 is a connection,
 * any other number the errno that connect(2) gave, -1 one that was not tried. Exits with 1, and says
 * why, when it cannot find out.
 *
 * A process is judged by its cgroup, so each connect is made by one that is born there
 * (CLONE_INTO_CGROUP, Linux 5.7): to move one there would be reported as what an intruder does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds after which a connect on loopback that has not ended counts as ETIMEDOUT. */
#define PATIENCE 2

/* Exit status of a child that could not ask; no errno. */
#define CANNOT_ASK 255

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int connect_here(int family, uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in four = {.sin_family = AF_INET};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return CANNOT_ASK;
	four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	four.sin_port = six.sin6_port = htons(port);
	if (family == AF_INET)
		return connect(fd, (struct sockaddr *)&four, sizeof(four)) ? errno : 0;
	return connect(fd, (struct sockaddr *)&six, sizeof(six)) ? errno : 0;
}

static int connect_in(int cgroup, int family, uint16_t port)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup,
	};
	int status;
	pid_t child;

	if (!port)
		return -1;
	child = syscall(SYS_clone3, &args, sizeof(args));
	if (child < 0)
		fail("clone3(CLONE_INTO_CGROUP)");
	if (child == 0) {
		alarm(PATIENCE);
		_exit(connect_here(family, port));
	}
	if (waitpid(child, &status, 0) < 0)
		fail("waitpid");
	if (WIFSIGNALED(status))
		return ETIMEDOUT;
	if (WEXITSTATUS(status) == CANNOT_ASK) {
		fprintf(stderr, "socket(%s) in the canary's cgroup was refused\n",
			family == AF_INET ? "AF_INET" : "AF_INET6");
		exit(1);
	}
	return WEXITSTATUS(status);
}

static int open_cgroup(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	return fd;
}

int main(int argc, char **argv)
{
	int cgroup[2], i, answer[4];
	uint16_t port[2];

	if (argc != 5) {
		fprintf(stderr, "usage: canary ALLOWED REFUSED PORT4 PORT6\n");
		return 1;
	}
	for (i = 0; i < 2; i++) {
		cgroup[i] = open_cgroup(argv[1 + i]);
		port[i] = strtoul(argv[3 + i], NULL, 10);
	}
	for (i = 0; i < 4; i++)
		answer[i] = connect_in(cgroup[i / 2], i % 2 ? AF_INET6 : AF_INET, port[i % 2]);
	printf("%d %d %d %d\n", answer[0], answer[1], answer[2], answer[3]);
	return 0;
}
