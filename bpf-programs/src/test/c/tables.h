/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Tables of a generation as native tests hold them: arrays that know their size. */
#ifndef WEIR_TEST_TABLES_H
#define WEIR_TEST_TABLES_H

#include <stddef.h>
#include <stdint.h>

struct test_table {
	void *rows;
	size_t size, count;
	long look_ups;
};

__attribute__((unused)) static void *test_lookup(void *table, const uint32_t *index)
{
	struct test_table *t = table;

	t->look_ups++;
	return *index < t->count ? (char *)t->rows + *index * t->size : NULL;
}

#define WEIR_LOOKUP(table, key) test_lookup(table, key)

/* Releases of clang-format disagree about a macro that is a brace list. */
/* clang-format off */
#define TABLE(array) \
	{.rows = array, .size = sizeof(array[0]), .count = sizeof(array) / sizeof(array[0])}
/* clang-format on */

#endif
