// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.BpfProgram;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** How an opened object comes into the kernel. */
@FunctionalInterface
interface Loading {

  /** Maps are made, and the verifier walks the programs. */
  Loading ANEW =
      (object, programs) -> {
        object.load();
        return InKernel.of(object, programs);
      };

  /**
   * Loads what the object is set to load.
   *
   * @param object opened, with its programs chosen and its maps sized, and not loaded
   * @param programs those to hand out
   * @return maps that are empty, and programs that are attached nowhere; the caller closes them
   */
  InKernel load(BpfObject object, List<BpfObject.Program> programs);

  /**
   * Maps and programs in the kernel, opened.
   *
   * @param maps by name
   * @param programs by name
   */
  record InKernel(Map<String, BpfMap> maps, Map<String, BpfProgram> programs)
      implements AutoCloseable {

    /** Of an object that is loaded, whoever closes it. */
    static InKernel of(BpfObject object, List<BpfObject.Program> wanted) {
      InKernel opened = new InKernel(new HashMap<>(), new LinkedHashMap<>());
      try {
        object.maps().forEach((name, map) -> opened.maps.put(name, map.open()));
        wanted.forEach(program -> opened.programs.put(program.name(), program.open()));
        return opened;
      } catch (RuntimeException e) {
        opened.close();
        throw e;
      }
    }

    @Override
    public void close() {
      programs.values().forEach(BpfProgram::close);
      maps.values().forEach(BpfMap::close);
    }
  }
}
