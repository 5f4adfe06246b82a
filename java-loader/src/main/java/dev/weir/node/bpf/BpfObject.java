// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import jnr.ffi.Pointer;

/**
 * A compiled object: its maps and programs, first as declared, then loaded. What was loaded goes
 * with {@link #close} unless it is pinned or opened anew.
 */
public final class BpfObject implements AutoCloseable {

  private final Native lib;
  private final String name;
  private final Pointer object;
  private final Map<String, DeclaredMap> maps;
  private final Map<String, Program> programs;
  private boolean closed;

  private BpfObject(Native lib, String name, Pointer object) {
    this.lib = lib;
    this.name = name;
    this.object = object;
    Map<String, DeclaredMap> foundMaps = new LinkedHashMap<>();
    for (Pointer map = lib.bpf.bpf_object__next_map(object, null);
        map != null;
        map = lib.bpf.bpf_object__next_map(object, map)) {
      if (!lib.bpf.bpf_map__is_internal(map)) {
        DeclaredMap declared = new DeclaredMap(map);
        foundMaps.put(declared.name(), declared);
      }
    }
    Map<String, Program> foundPrograms = new LinkedHashMap<>();
    for (Pointer program = lib.bpf.bpf_object__next_program(object, null);
        program != null;
        program = lib.bpf.bpf_object__next_program(object, program)) {
      Program declared = new Program(program);
      foundPrograms.put(declared.name(), declared);
    }
    this.maps = Map.copyOf(foundMaps);
    this.programs = Map.copyOf(foundPrograms);
  }

  /**
   * Reads an object file; the kernel is not asked yet.
   *
   * @param name for messages
   * @param elf the file
   * @throws BpfException when it is no BPF object
   */
  public static BpfObject open(String name, byte[] elf) {
    Native lib = Native.get();
    ByteBuffer bytes = Native.buffer(elf.length).put(0, elf);
    Pointer object =
        lib.loggedPointer(
            "bpf_object__open_mem(" + name + ")",
            () -> lib.bpf.bpf_object__open_mem(bytes, elf.length, null));
    Native.keep(bytes);
    return new BpfObject(lib, name, object);
  }

  /** Maps by name, without those that hold the object's own data. */
  public Map<String, DeclaredMap> maps() {
    return maps;
  }

  /** Programs by name. */
  public Map<String, Program> programs() {
    return programs;
  }

  /**
   * Makes the maps and loads the programs.
   *
   * @throws BpfException with the verifier's log when the kernel refuses
   */
  public void load() {
    lib.logged("bpf_object__load(" + name + ")", () -> lib.bpf.bpf_object__load(object));
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      lib.bpf.bpf_object__close(object);
    }
  }

  /** A map of the object. */
  public final class DeclaredMap {
    private final Pointer pointer;

    private DeclaredMap(Pointer pointer) {
      this.pointer = pointer;
    }

    /** As in the source. */
    public String name() {
      return lib.bpf.bpf_map__name(pointer);
    }

    /** Bytes. */
    public int keySize() {
      return lib.bpf.bpf_map__key_size(pointer);
    }

    /** Bytes. */
    public int valueSize() {
      return lib.bpf.bpf_map__value_size(pointer);
    }

    /** Capacity. */
    public int maxEntries() {
      return lib.bpf.bpf_map__max_entries(pointer);
    }

    /** Sets the capacity, before the load. */
    public void maxEntries(int entries) {
      Native.check(
          "bpf_map__set_max_entries(" + name() + ")",
          lib.bpf.bpf_map__set_max_entries(pointer, entries));
    }

    /** Uses a map that is there instead of making one, before the load. */
    public void reuse(BpfMap map) {
      lib.logged(
          "bpf_map__reuse_fd(" + name() + ")", () -> lib.bpf.bpf_map__reuse_fd(pointer, map.fd()));
    }

    /** The map in the kernel, after the load; the caller closes it. */
    public BpfMap open() {
      int fd = Native.check("bpf_map__fd(" + name() + ")", lib.bpf.bpf_map__fd(pointer));
      return BpfMap.byId(BpfMap.idOf(fd));
    }
  }

  /** A program of the object. */
  public final class Program {
    private final Pointer pointer;

    private Program(Pointer pointer) {
      this.pointer = pointer;
    }

    /** As in the source. */
    public String name() {
      return lib.bpf.bpf_program__name(pointer);
    }

    /** {@code enum bpf_prog_type}, from the section's name. */
    public int type() {
      return lib.bpf.bpf_program__type(pointer);
    }

    /** {@code enum bpf_attach_type}, from the section's name. */
    public int attachType() {
      return lib.bpf.bpf_program__expected_attach_type(pointer);
    }

    /** Whether {@link #load} takes it: not if its section's name begins with a question mark. */
    public boolean loads() {
      return lib.bpf.bpf_program__autoload(pointer);
    }

    /** Leaves this one out of the load. */
    public void skip() {
      load(false);
    }

    /** Takes this one into the load, or leaves it out. */
    public void load(boolean load) {
      Native.check(
          "bpf_program__set_autoload(" + name() + ")",
          lib.bpf.bpf_program__set_autoload(pointer, load));
    }

    /** The program in the kernel, after the load; the caller closes it. */
    public BpfProgram open() {
      int fd = Native.check("bpf_program__fd(" + name() + ")", lib.bpf.bpf_program__fd(pointer));
      return BpfProgram.byId(BpfProgram.idOf(fd));
    }
  }
}
