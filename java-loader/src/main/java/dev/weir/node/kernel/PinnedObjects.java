// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfProgram;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/**
 * Which maps and programs are ours, by the ids that the kernel gave them. An id is used once while
 * the system runs, and a program cannot be changed, so another id is another object, also where
 * name, tag and size are the same.
 *
 * @param maps id by name
 * @param programs id by name
 */
record PinnedObjects(Map<String, Integer> maps, Map<String, Integer> programs) {

  private static final String MAP = "map";
  private static final String PROGRAM = "program";

  PinnedObjects {
    maps = Map.copyOf(maps);
    programs = Map.copyOf(programs);
  }

  /** What is pinned now. */
  static PinnedObjects of(Pins pins) {
    Map<String, Integer> maps = new TreeMap<>();
    for (Path pin : DurableFile.list(pins.maps())) {
      try (BpfMap map = BpfMap.open(pin)) {
        maps.put(String.valueOf(pin.getFileName()), map.id());
      }
    }
    Map<String, Integer> programs = new TreeMap<>();
    for (Path pin : DurableFile.list(pins.root().resolve("programs"))) {
      try (BpfProgram program = BpfProgram.open(pin)) {
        programs.put(String.valueOf(pin.getFileName()), program.id());
      }
    }
    return new PinnedObjects(maps, programs);
  }

  /** One line each: {@code map} or {@code program}, name, id. */
  String text() {
    StringBuilder text = new StringBuilder();
    new TreeMap<>(maps).forEach((name, id) -> line(text, MAP, name, id));
    new TreeMap<>(programs).forEach((name, id) -> line(text, PROGRAM, name, id));
    return text.toString();
  }

  private static void line(StringBuilder text, String kind, String name, int id) {
    text.append(kind).append('\t').append(name).append('\t').append(id).append('\n');
  }

  /** The inverse of {@link #text}. */
  static PinnedObjects parse(String text) {
    Map<String, Integer> maps = new TreeMap<>();
    Map<String, Integer> programs = new TreeMap<>();
    for (String line : text.lines().toList()) {
      String[] fields = line.split("\t", -1);
      try {
        (fields[0].equals(MAP) ? maps : programs).put(fields[1], Integer.parseInt(fields[2]));
      } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
        throw new NodeException("not a line of the file objects: " + line, e);
      }
    }
    return new PinnedObjects(maps, programs);
  }
}
