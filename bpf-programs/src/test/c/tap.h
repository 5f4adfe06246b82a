/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* One line of TAP for each check, and the exit status. */
#ifndef WEIR_TAP_H
#define WEIR_TAP_H

#include <stdarg.h>
#include <stdio.h>

static int tap_checks, tap_failures;

__attribute__((format(printf, 2, 3))) static void check(int good, const char *format, ...)
{
	va_list arguments;

	tap_failures += !good;
	printf("%sok %d - ", good ? "" : "not ", ++tap_checks);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
}

static int tap_end(void)
{
	printf("1..%d\n", tap_checks);
	return tap_failures != 0;
}

#endif
