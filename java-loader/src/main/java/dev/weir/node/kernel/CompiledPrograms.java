// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.Btf;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Optional;
import java.util.Set;

/** The object that travels in the jar of the kernel programs. */
final class CompiledPrograms {

  private static final String RESOURCE = "/dev/weir/bpf/weir.bpf.o";
  private static final String NAME = "weir.bpf.o";

  private final byte[] elf;
  private final String hash;
  private final Layouts layouts;
  private final Set<String> without;
  private final Loading loading;
  private final Declared declared;

  private CompiledPrograms(
      byte[] elf,
      String hash,
      Layouts layouts,
      Set<String> without,
      Loading loading,
      Declared declared) {
    this.elf = elf;
    this.hash = hash;
    this.layouts = layouts;
    this.without = Set.copyOf(without);
    this.loading = loading;
    this.declared = declared;
  }

  /** Of the whole file; read when first asked for, and then kept. */
  private static final class Declared {
    private Optional<Declarations> read = Optional.empty();

    synchronized Declarations of(byte[] elf) {
      Declarations all =
          read.orElseGet(
              () -> {
                try (BpfObject object = BpfObject.open(NAME, elf)) {
                  return Declarations.of(object);
                }
              });
      read = Optional.of(all);
      return all;
    }
  }

  /**
   * Reads it from the class path.
   *
   * @throws NodeException when it is not there
   */
  static CompiledPrograms read() {
    try (InputStream resource = CompiledPrograms.class.getResourceAsStream(RESOURCE)) {
      if (resource == null) {
        throw new NodeException(
            RESOURCE + " is not on the class path: the jar bpf-programs is missing; build it");
      }
      return of(resource.readAllBytes(), Set.of());
    } catch (IOException e) {
      throw new NodeException("cannot read " + RESOURCE + " from the class path: " + e, e);
    }
  }

  /**
   * Another build of it.
   *
   * @param without programs that are left out
   */
  static CompiledPrograms of(byte[] elf, Set<String> without) {
    try {
      String hash = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(elf));
      return new CompiledPrograms(
          elf, hash, new Layouts(Btf.of(NAME, elf)), without, Loading.ANEW, new Declared());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every JDK has SHA-256
    }
  }

  /** The same, coming into the kernel in another way. */
  CompiledPrograms loadedBy(Loading way) {
    return new CompiledPrograms(elf, hash, layouts, without, way, declared);
  }

  /** The same with more of its programs left out. */
  CompiledPrograms without(Set<String> others) {
    Set<String> all = new HashSet<>(without);
    all.addAll(others);
    return new CompiledPrograms(elf, hash, layouts, all, loading, declared);
  }

  /** How it comes into the kernel where nothing is. */
  Loading loading() {
    return loading;
  }

  /** SHA-256 of the file, hexadecimal. */
  String hash() {
    return hash;
  }

  /** Of its structures. */
  Layouts layouts() {
    return layouts;
  }

  /** What it declares; what is left out is not loaded. */
  Declarations declarations() {
    return declared.of(elf).without(without);
  }

  /** Opens it in libbpf; nothing is loaded yet. */
  BpfObject open() {
    BpfObject object = BpfObject.open(NAME, elf);
    object.programs().values().stream()
        .filter(program -> without.contains(program.name()))
        .forEach(BpfObject.Program::skip);
    return object;
  }
}
