// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.DurableFile;
import java.nio.file.Path;

/** Each change of a file, whole or not at all; a test stops between two of them. */
class Disk {

  /** Replaces a file that is its owner's alone. */
  void write(Path file, byte[] bytes) {
    DurableFile.write(file, bytes);
  }

  /** Replaces a file that a group may read. */
  void write(Path file, byte[] bytes, int group) {
    DurableFile.write(file, bytes, group);
  }

  /** Removes a file, or a directory that is empty. */
  void remove(Path path) {
    DurableFile.remove(path);
  }
}
