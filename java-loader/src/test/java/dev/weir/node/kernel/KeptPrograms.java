// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.RingBuffer;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Programs that were loaded once and are given from test to test, for machines on which the
 * verifier takes seconds: attached, pinned and taken down again they are by each test, and its maps
 * are emptied before the next one has them. Two meshes at a time never have the same.
 */
final class KeptPrograms {

  /** What there is to tell apart, for one build: programs and sizes of maps. */
  private record Form(TreeSet<String> programs, Map<String, Integer> room) {
    static Form of(BpfObject object) {
      return new Form(
          object.programs().values().stream()
              .filter(BpfObject.Program::loads)
              .map(BpfObject.Program::name)
              .collect(Collectors.toCollection(TreeSet::new)),
          object.maps().entrySet().stream()
              .collect(Collectors.toMap(Map.Entry::getKey, map -> map.getValue().maxEntries())));
    }
  }

  private record Copy(Form form, Loading.InKernel held) {}

  private final CompiledPrograms compiled = CompiledPrograms.read();
  private final List<Copy> free = new ArrayList<>();
  private final Map<Form, BpfException> refused = new HashMap<>();

  /** What one test takes; given back when it is over and nothing of it is attached any more. */
  final class Lease implements Loading, Supplier<CompiledPrograms>, AutoCloseable {
    private final List<Copy> taken = new ArrayList<>();
    private final CompiledPrograms mine = compiled.loadedBy(this);

    @Override
    public CompiledPrograms get() {
      return mine;
    }

    @Override
    public InKernel load(BpfObject object, List<BpfObject.Program> programs) {
      synchronized (KeptPrograms.this) {
        Copy copy = take(object, programs);
        taken.add(copy);
        return opened(copy.held);
      }
    }

    /** Whether a program is there for later tests, whatever becomes of this one's mesh. */
    boolean holds(int program) {
      synchronized (KeptPrograms.this) {
        return taken.stream()
            .flatMap(copy -> copy.held.programs().values().stream())
            .anyMatch(held -> held.id() == program);
      }
    }

    @Override
    public void close() {
      synchronized (KeptPrograms.this) {
        free.addAll(taken);
        taken.clear();
      }
    }
  }

  private Copy take(BpfObject object, List<BpfObject.Program> programs) {
    Form form = Form.of(object);
    for (Copy copy : free) {
      if (copy.form.equals(form)) {
        free.remove(copy);
        copy.held.maps().values().forEach(KeptPrograms::empty);
        return copy;
      }
    }
    BpfException failure = refused.get(form);
    if (failure != null) {
      throw failure;
    }
    try {
      return new Copy(form, Loading.ANEW.load(object, programs));
    } catch (BpfException e) {
      refused.put(form, e); // the kernel stays what it is
      throw e;
    }
  }

  private static Loading.InKernel opened(Loading.InKernel held) {
    Loading.InKernel opened = new Loading.InKernel(new HashMap<>(), new LinkedHashMap<>());
    held.maps().forEach((name, map) -> opened.maps().put(name, BpfMap.byId(map.id())));
    held.programs()
        .forEach((name, program) -> opened.programs().put(name, BpfProgram.byId(program.id())));
    return opened;
  }

  private static void empty(BpfMap map) {
    switch (map.type()) {
      case HASH, PERCPU_HASH, LRU_HASH, LPM_TRIE -> {
        List<ByteBuffer> keys = new ArrayList<>();
        map.forEach((key, value) -> keys.add(map.newKey().put(0, key, 0, map.keySize())));
        keys.forEach(map::delete);
      }
      case ARRAY, PERCPU_ARRAY -> {
        ByteBuffer key = map.newKey();
        ByteBuffer zero = map.newValue();
        for (int i = 0; i < map.maxEntries(); i++) {
          map.update(key.putInt(0, i), zero);
        }
      }
      case ARRAY_OF_MAPS -> {
        ByteBuffer key = map.newKey();
        for (int i = 0; i < map.maxEntries(); i++) {
          map.delete(key.putInt(0, i));
        }
      }
      case RINGBUF -> {
        try (RingBuffer ring = new RingBuffer(map, 0, record -> {})) {
          while (ring.poll(0) > 0) {}
        }
      }
      case SK_STORAGE, TASK_STORAGE -> {} // goes with the sockets, with the processes
      case OTHER -> throw new IllegalStateException("nobody knows how to empty " + map);
    }
  }
}
