// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.Rule;
import dev.weir.policy.plan.Workload;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * The registry of stable numbers: what counters and socket storage carry, and what outlives a
 * generation. A number is never given to another key while the pins live.
 */
final class Numbers {

  private static final String WORKLOAD = "workload:";
  private static final String RULE = "rule:";
  static final int FIRST_WORKLOAD = 16;
  private static final int FIRST_RULE = 1;

  /** The kernel's table of workloads is an array by number: 2^20 of them are 8 MiB. */
  private static final int MAX = 1 << 20;

  private final Space workloads;
  private final Space rules;

  /** Keys and numbers of one kind, both ways. */
  private static final class Space {
    private final Map<String, Integer> numbers = new TreeMap<>();
    private final Map<Integer, String> keys = new TreeMap<>();
    private final String prefix;
    private int next;

    Space(String prefix, int first) {
      this.prefix = prefix;
      this.next = first;
    }

    void put(int number, String key) {
      if (keys.putIfAbsent(number, key) != null || numbers.putIfAbsent(key, number) != null) {
        throw new IllegalArgumentException(number + " " + key + " given twice");
      }
      next = Math.max(next, number + 1);
    }

    int of(String key) {
      Integer number = numbers.get(key);
      if (number != null) {
        return number;
      }
      if (next >= MAX) {
        throw new NodeException(
            "no numbers left for "
                + prefix
                + key
                + ": "
                + MAX
                + " have been given since the programs were attached; run weir down and weir"
                + " apply");
      }
      int given = next;
      put(given, key);
      return given;
    }

    void write(StringBuilder text) {
      keys.forEach(
          (number, key) ->
              text.append(number).append('\t').append(prefix).append(key).append('\n'));
    }
  }

  private Numbers() {
    workloads = new Space(WORKLOAD, FIRST_WORKLOAD);
    for (Reserved reserved : Reserved.values()) {
      workloads.put(reserved.index(), reservedKey(reserved));
    }
    workloads.next = FIRST_WORKLOAD;
    rules = new Space(RULE, FIRST_RULE);
  }

  private static String reservedKey(Reserved reserved) {
    return "Reserved//" + reserved.name().toLowerCase(java.util.Locale.ROOT);
  }

  /** A registry without numbers of anybody's. */
  static Numbers none() {
    return new Numbers();
  }

  /**
   * Reads a registry.
   *
   * @throws NodeException when the file is damaged
   */
  static Numbers parse(Path file, String text) {
    Numbers numbers = new Numbers();
    int line = 0;
    for (String entry : text.lines().toList()) {
      line++;
      int tab = entry.indexOf('\t');
      try {
        int number = Integer.parseInt(entry.substring(0, Math.max(tab, 0)));
        String key = entry.substring(tab + 1);
        if (key.startsWith(RULE)) {
          numbers.rules.put(number, key.substring(RULE.length()));
        } else if (!key.startsWith(WORKLOAD)) {
          throw new IllegalArgumentException("neither workload nor rule");
        } else if (number >= FIRST_WORKLOAD) {
          numbers.workloads.put(number, key.substring(WORKLOAD.length()));
        }
      } catch (IllegalArgumentException e) {
        throw new NodeException(
            file
                + ":"
                + line
                + ": not a line of the registry ("
                + e.getMessage()
                + "); counters can no longer be told apart: run weir down and weir apply",
            e);
      }
    }
    return numbers;
  }

  /** {@code NUMBER<TAB>KEY} lines. */
  byte[] bytes() {
    StringBuilder text = new StringBuilder();
    workloads.write(text);
    rules.write(text);
    return text.toString().getBytes(StandardCharsets.UTF_8);
  }

  /** How many numbers have been given. */
  int size() {
    return workloads.numbers.size() + rules.numbers.size();
  }

  /** The number of each workload of a plan, by index; new ones are given. */
  List<Integer> workloads(Plan plan) {
    List<Integer> numbers = new ArrayList<>(plan.workloads().size());
    for (int i = 0; i < plan.workloads().size(); i++) {
      Workload workload = plan.workloads().get(i);
      numbers.add(i < Workload.RESERVED ? Integer.valueOf(i) : workloads.of(workload.key()));
    }
    return numbers;
  }

  /** The number of each rule of a plan, by index; new ones are given. */
  List<Integer> rules(Plan plan) {
    List<Integer> numbers = new ArrayList<>(plan.rules().size());
    for (Rule rule : plan.rules()) {
      numbers.add(rules.of(rule.key()));
    }
    return numbers;
  }

  Optional<String> workloadKey(int number) {
    return Optional.ofNullable(workloads.keys.get(number));
  }

  Optional<String> ruleKey(int number) {
    return Optional.ofNullable(rules.keys.get(number));
  }
}
