// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfObject;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/**
 * What an object file declares. Opening one in libbpf takes milliseconds, and every change of
 * policy asks what should be there.
 *
 * @param programs by name
 * @param maps by name
 */
record Declarations(Map<String, Program> programs, Map<String, Shape> maps) {

  /**
   * A program.
   *
   * @param name as in the source
   * @param type {@code enum bpf_prog_type}
   * @param attachType {@code enum bpf_attach_type}
   * @param loads whether it is loaded unless somebody says otherwise
   */
  record Program(String name, int type, int attachType, boolean loads) {

    /** As an open object has it now. */
    static Program of(BpfObject.Program program) {
      return new Program(program.name(), program.type(), program.attachType(), program.loads());
    }
  }

  /**
   * A map.
   *
   * @param keySize bytes
   * @param valueSize bytes
   * @param maxEntries capacity
   */
  record Shape(int keySize, int valueSize, int maxEntries) {}

  Declarations {
    programs = Map.copyOf(programs);
    maps = Map.copyOf(maps);
  }

  /** What an open object declares. */
  static Declarations of(BpfObject object) {
    Map<String, Program> programs = new LinkedHashMap<>();
    object.programs().values().forEach(p -> programs.put(p.name(), Program.of(p)));
    Map<String, Shape> maps = new LinkedHashMap<>();
    object
        .maps()
        .forEach(
            (name, map) ->
                maps.put(name, new Shape(map.keySize(), map.valueSize(), map.maxEntries())));
    return new Declarations(programs, maps);
  }

  /** The same where some programs are not loaded. */
  Declarations without(Set<String> names) {
    Map<String, Program> less = new LinkedHashMap<>(programs);
    less.replaceAll(
        (name, program) ->
            names.contains(name)
                ? new Program(name, program.type(), program.attachType(), false)
                : program);
    return new Declarations(less, maps);
  }
}
