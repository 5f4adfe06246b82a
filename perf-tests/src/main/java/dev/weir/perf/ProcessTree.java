// SPDX-License-Identifier: Apache-2.0
package dev.weir.perf;

import dev.weir.perf.measure.MeasureException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * A process and its children, as {@code /proc} tells of them.
 *
 * @param name for messages
 * @param pid of the process
 */
public record ProcessTree(String name, long pid) {

  private static final long TICK_NANOS = 10_000_000; // USER_HZ is 100 on every Linux we run on

  /**
   * Memory.
   *
   * @param pssKib proportional share: pages shared with others are divided among them
   * @param rssKib resident pages
   * @param anonymousKib of these, the ones no file stands behind
   */
  public record Memory(long pssKib, long rssKib, long anonymousKib) {}

  private List<Long> pids() {
    return ProcessHandle.of(pid).stream()
        .flatMap(process -> Stream.concat(Stream.of(process), process.descendants()))
        .map(ProcessHandle::pid)
        .toList();
  }

  /**
   * User and system time since the start, in nanoseconds, to 10 ms. Time of threads that have ended
   * is in it.
   *
   * @throws MeasureException if the process is gone
   */
  public long cpuNanos() throws MeasureException {
    long ticks = 0;
    for (long each : living()) {
      // proc_pid_stat(5): the name in field 2 may hold spaces and brackets; utime is field 14.
      String stat = read(each, "stat");
      String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
      ticks += Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
    }
    return ticks * TICK_NANOS;
  }

  /**
   * Time on a processor of the main threads, in nanoseconds, exact: for programs of one thread, in
   * blocks too short for {@link #cpuNanos}.
   *
   * @throws MeasureException if the process is gone
   */
  public long threadNanos() throws MeasureException {
    long nanos = 0;
    for (long each : living()) {
      nanos += Long.parseLong(read(each, "schedstat").split(" ", 2)[0]);
    }
    return nanos;
  }

  /**
   * Memory now.
   *
   * @throws MeasureException if the process is gone
   */
  public Memory memory() throws MeasureException {
    long pss = 0;
    long rss = 0;
    long anonymous = 0;
    for (long each : living()) {
      String rollup = read(each, "smaps_rollup");
      pss += field(rollup, "Pss:");
      rss += field(rollup, "Rss:");
      anonymous += field(rollup, "Anonymous:");
    }
    return new Memory(pss, rss, anonymous);
  }

  private List<Long> living() throws MeasureException {
    List<Long> pids = pids();
    if (pids.isEmpty()) {
      throw new MeasureException(name + " (process " + pid + ") is gone");
    }
    return pids;
  }

  private static long field(String rollup, String field) {
    return rollup
        .lines()
        .filter(line -> line.startsWith(field))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
        .sum();
  }

  private String read(long process, String file) throws MeasureException {
    try {
      return Files.readString(Path.of("/proc", String.valueOf(process), file));
    } catch (IOException e) {
      throw new MeasureException(
          "cannot read /proc/" + process + "/" + file + " of " + name + ": " + e.getMessage(), e);
    }
  }
}
