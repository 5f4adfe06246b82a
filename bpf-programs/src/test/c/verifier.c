// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/*
 * verifier OBJECT [RECORD]: loads every program of an object into the running kernel and says how
 * many instructions the verifier walked through for each, as "kernel,program,instructions". With a
 * RECORD (such lines, of several kernels) each is compared with it: more than 10 % above, or a
 * program that the record does not know, is a failure. Prints TAP; the counts are lines that begin
 * with "verifier:". A program that does not load is a failure with the end of the verifier's log.
 *
 * The count is a kernel's: a newer verifier prunes better or checks more. So the record is kept per
 * series (6.1, 6.12, ...), and of a series without any line nothing is compared, which is said.
 * "-" in place of a count: this kernel cannot load it, and something is written to do without.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define GROWTH_PERCENT 10
#define LOG_BYTES      (8 << 20)
#define LOG_TAIL       1500

static char series[64];
static int number, failures;

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

static void find_series(void)
{
	struct utsname name;
	unsigned int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	snprintf(series, sizeof(series), "%u.%u", major, minor);
}

#define CANNOT (-1L)

/* The recorded count, CANNOT, or 0 without one; *known if the record has any line of this kernel. */
static long recorded(const char *path, const char *program, int *known)
{
	FILE *record = fopen(path, "r");
	char line[256], kernel[64], name[128], count[32];
	long found = 0;

	*known = 0;
	if (!record) {
		fprintf(stderr, "verifier: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	while (fgets(line, sizeof(line), record)) {
		if (sscanf(line, "%63[^,],%127[^,],%31s", kernel, name, count) != 3 ||
		    strcmp(kernel, series) != 0)
			continue;
		*known |= strcmp(count, "-") != 0;
		if (strcmp(name, program) == 0)
			found = strcmp(count, "-") ? atol(count) : CANNOT;
	}
	fclose(record);
	return found;
}

static void judge(const char *program, long count, const char *record)
{
	int known = 0;
	long before = record ? recorded(record, program, &known) : 0;
	int good = !known || (before > 0 && count <= before + before * GROWTH_PERCENT / 100);

	printf("verifier: %s,%s,%ld\n", series, program, count);
	failures += !good;
	printf("%sok %d - the verifier walks %ld instructions of %s", good ? "" : "not ", ++number,
	       count, program);
	if (record && !known)
		printf(" (no record of kernel %s)", series);
	else if (record && before <= 0)
		printf(", which %s does not know to load: make verifier-record", record);
	else if (!good)
		printf(", %ld in %s: look why, or accept it with make verifier-record", before,
		       record);
	printf("\n");
}

/* Loads one program with the others left out, so that one failure does not hide another. */
static void load_one(const char *path, const char *name, const char *record)
{
	static char log[LOG_BYTES];
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_program *program, *wanted = NULL;
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);
	int error, known;

	if (!object) {
		fprintf(stderr, "verifier: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	bpf_object__for_each_program(program, object)
	{
		int mine = strcmp(bpf_program__name(program), name) == 0;

		bpf_program__set_autoload(program, mine);
		if (mine)
			wanted = program;
	}
	log[0] = 0;
	bpf_program__set_log_buf(wanted, log, sizeof(log));
	error = bpf_object__load(object);
	if (error && record && recorded(record, name, &known) == CANNOT) {
		printf("verifier: %s,%s,-\n", series, name);
		printf("ok %d - %s does not load on kernel %s, as recorded\n", ++number, name,
		       series);
	} else if (error) {
		size_t size = strlen(log);

		failures++;
		printf("not ok %d - %s loads on kernel %s: %s\n", ++number, name, series,
		       strerror(-error));
		printf("%s\n", size > LOG_TAIL ? log + size - LOG_TAIL : log);
	} else if (bpf_obj_get_info_by_fd(bpf_program__fd(wanted), &info, &length)) {
		failures++;
		printf("not ok %d - information about %s: %s\n", ++number, name, strerror(errno));
	} else {
		judge(name, info.verified_insns, record);
	}
	fflush(stdout);
	bpf_object__close(object);
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	struct bpf_program *program;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: verifier OBJECT [RECORD]\n");
		return 2;
	}
	find_series();
	libbpf_set_print(quiet);
	object = bpf_object__open_file(argv[1], NULL);
	if (!object) {
		fprintf(stderr, "verifier: %s: %s\n", argv[1], strerror(errno));
		return 2;
	}
	bpf_object__for_each_program(program, object)
		load_one(argv[1], bpf_program__name(program), argc > 2 ? argv[2] : NULL);
	bpf_object__close(object);
	return failures != 0;
}
