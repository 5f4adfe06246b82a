// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfLink;
import dev.weir.node.bpf.SystemCalls;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;

/**
 * The pin directory. It comes into being with one rename, complete; names have no dots, because the
 * bpf file system keeps those for itself.
 */
final class Pins {

  private static final Path BPF_FS = Path.of("/sys/fs/bpf");
  private static final String STAGED = "-staged";

  private final Path root;

  private Pins(Path root) {
    this.root = root;
  }

  static Pins in(Path pinDir) {
    return new Pins(pinDir);
  }

  /** The directory in which a new set of pins is made ready. */
  Pins staged() {
    return new Pins(root.resolveSibling(root.getFileName() + STAGED));
  }

  Path root() {
    return root;
  }

  Path maps() {
    return root.resolve("maps");
  }

  Path map(String name) {
    return maps().resolve(name);
  }

  Path program(String name) {
    return root.resolve("programs").resolve(name);
  }

  Path link(String name) {
    return root.resolve("links").resolve(name);
  }

  /** A temporary name beside a pin, to be renamed over it. */
  static Path beside(Path pin) {
    return pin.resolveSibling(pin.getFileName() + STAGED);
  }

  boolean exist() {
    return Files.isDirectory(root);
  }

  /** Makes sure that pins can be made: mounts the bpf file system where it belongs if it is not. */
  static void mount(Path pinDir) {
    Path existing = pinDir.toAbsolutePath();
    while (!Files.isDirectory(existing)) {
      existing = Optional.ofNullable(existing.getParent()).orElse(Path.of("/"));
    }
    if (isBpf(existing)) {
      return;
    }
    if (!pinDir.toAbsolutePath().startsWith(BPF_FS)) {
      throw new NodeException(
          pinDir
              + " is not on a bpf file system; choose one below /sys/fs/bpf, or mount one: mount -t"
              + " bpf bpf DIRECTORY");
    }
    SystemCalls.mountBpf(BPF_FS);
  }

  /** Whether pins can be made there, or could be after a mount. */
  static boolean mountable(Path pinDir) {
    return pinDir.toAbsolutePath().startsWith(BPF_FS)
        ? Files.isDirectory(BPF_FS)
        : Files.isDirectory(pinDir) && isBpf(pinDir);
  }

  private static boolean isBpf(Path directory) {
    try {
      return Files.getFileStore(directory).type().equals("bpf");
    } catch (IOException e) {
      throw DurableFile.failed("look at", directory, e);
    }
  }

  /** Makes the directories, empty. */
  void make() {
    DurableFile.makeDirectory(root);
    DurableFile.makeDirectory(root.resolve("maps"));
    DurableFile.makeDirectory(root.resolve("programs"));
    DurableFile.makeDirectory(root.resolve("links"));
  }

  /** Removes programs, and takes away links, that do not have one of these names. */
  void removeBut(java.util.Set<String> names) {
    for (Path link : DurableFile.list(root.resolve("links"))) {
      if (!names.contains(String.valueOf(link.getFileName()))) {
        detach(link);
        DurableFile.remove(link);
      }
    }
    for (Path program : DurableFile.list(root.resolve("programs"))) {
      if (!names.contains(String.valueOf(program.getFileName()))) {
        DurableFile.remove(program);
      }
    }
  }

  /** Renames this directory to another one that is not there. */
  void becomes(Pins other) {
    rename(root, other.root);
  }

  /**
   * Gives the directory the name of a staged one: from now on nobody finds pins, and whoever comes
   * next removes them. A file system that cannot, because somebody put something there, leaves it
   * to {@link #remove} to take one pin away after the other.
   */
  void unname() {
    if (!Files.isDirectory(root)) {
      remove();
      return;
    }
    try {
      Files.move(root, staged().root, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      remove();
    }
  }

  static void rename(Path from, Path to) {
    try {
      Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw DurableFile.failed("rename " + from + " to", to, e);
    }
  }

  /** Removes all pins: links first, for they are what acts. */
  void remove() {
    if (!Files.isDirectory(root)) {
      DurableFile.remove(root); // somebody else's, in its place
      return;
    }
    Path links = root.resolve("links");
    if (Files.isDirectory(links)) {
      DurableFile.list(links).forEach(Pins::detach);
    }
    DurableFile.removeTree(links);
    DurableFile.removeTree(root.resolve("programs"));
    DurableFile.removeTree(root.resolve("maps"));
    DurableFile.removeTree(root);
  }

  /** Whatever is wrong with a link must not keep it from being removed. */
  private static void detach(Path pin) {
    try (BpfLink link = BpfLink.open(pin)) {
      link.detach();
    } catch (BpfException e) {
      return; // removing the pin detaches it too, if a moment later
    }
  }
}
