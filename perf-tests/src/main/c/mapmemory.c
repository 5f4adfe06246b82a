// SPDX-License-Identifier: Apache-2.0
/*
 * mapmemory DIRECTORY: kernel memory of the maps pinned there and of the maps inside them, as the
 * kernel accounts for it (`memlock` in /proc/self/fdinfo). One line each, "BYTES NAME", and last the
 * sum as "BYTES total".
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long long total;

static int memlock(int fd, const char *name)
{
	char path[64], line[128];
	long long bytes = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	if (!file) {
		fprintf(stderr, "mapmemory: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while (fgets(line, sizeof(line), file))
		sscanf(line, "memlock: %lld", &bytes);
	fclose(file);
	if (bytes < 0) {
		fprintf(stderr, "mapmemory: no memlock in %s of %s\n", path, name);
		return -1;
	}
	printf("%lld %s\n", bytes, name);
	total += bytes;
	return 0;
}

/* The map itself and, if it holds maps, those. */
static int map(const char *path, const char *name)
{
	struct bpf_map_info info = {};
	__u32 length = sizeof(info), key, id;
	int fd = bpf_obj_get(path), inner, bad;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &length)) {
		fprintf(stderr, "mapmemory: %s: %s\n", path, strerror(errno));
		return -1;
	}
	bad = memlock(fd, name);
	if (info.type == BPF_MAP_TYPE_ARRAY_OF_MAPS) {
		for (key = 0; key < info.max_entries && !bad; key++) {
			char label[128];

			if (bpf_map_lookup_elem(fd, &key, &id))
				continue; /* an empty slot */
			inner = bpf_map_get_fd_by_id(id);
			snprintf(label, sizeof(label), "%s[%u]", name, key);
			bad = inner < 0 ? -1 : memlock(inner, label);
			if (inner >= 0)
				close(inner);
		}
	}
	close(fd);
	return bad;
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	int bad = 0;
	DIR *directory;

	if (argc != 2) {
		fputs("usage: mapmemory DIRECTORY\n", stderr);
		return 2;
	}
	directory = opendir(argv[1]);
	if (!directory) {
		fprintf(stderr, "mapmemory: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	while (!bad && (entry = readdir(directory))) {
		char path[512];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		bad = map(path, entry->d_name);
	}
	closedir(directory);
	printf("%lld total\n", total);
	return bad ? 1 : 0;
}
