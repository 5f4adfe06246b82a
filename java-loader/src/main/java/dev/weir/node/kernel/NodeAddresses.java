// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.policy.plan.Address;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;

/**
 * The addresses of the calling thread's network namespace, without those of lo. (The JDK's own list
 * has the IPv6 addresses of the first thread's.)
 */
final class NodeAddresses {

  private static final Path FOUR = Path.of("/proc/thread-self/net/fib_trie");
  private static final Path SIX = Path.of("/proc/thread-self/net/if_inet6");
  private static final String LEAF = "|-- ";

  private NodeAddresses() {}

  static Set<Address> here() {
    Set<Address> found = new HashSet<>();
    four(lines(FOUR), found);
    six(lines(SIX), found);
    return found;
  }

  private static List<String> lines(Path file) {
    try {
      return Files.readAllLines(file);
    } catch (NoSuchFileException e) {
      return List.of(); // a kernel without this family
    } catch (IOException e) {
      throw DurableFile.failed("read", file, e);
    }
  }

  /** A leaf {@code |-- 192.0.2.1} is an address of ours if {@code /32 host LOCAL} follows. */
  static void four(List<String> lines, Set<Address> found) {
    String leaf = "";
    for (String line : lines) {
      int at = line.indexOf(LEAF);
      if (at >= 0) {
        leaf = line.substring(at + LEAF.length()).strip();
      } else if (line.contains("/32 host LOCAL") && !leaf.startsWith("127.")) {
        try {
          found.add(Address.of(InetAddress.getByName(leaf).getAddress()));
        } catch (UnknownHostException e) {
          throw new NodeException(FOUR + ": " + leaf + " is no address", e);
        }
      }
    }
  }

  /** 32 hexadecimal digits, index, prefix length, scope, flags, name. */
  static void six(List<String> lines, Set<Address> found) {
    for (String line : lines) {
      String digits = line.split(" ", 2)[0];
      if (digits.length() == 2 * Layouts.ADDRESS && !digits.equals("0".repeat(31) + "1")) {
        found.add(Address.of(HexFormat.of().parseHex(digits)));
      }
    }
  }
}
