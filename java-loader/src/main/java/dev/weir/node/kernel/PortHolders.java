// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PortOwner;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Predicate;

/**
 * Who held a declared port before Weir was there: bind() was not asked then. Only the first attach
 * has to look; from then on the port goes to its owner alone.
 *
 * <p>Sockets are found by {@code /proc/net} (proc_pid_net(5)), their holders by the descriptors of
 * all processes. A socket that no process has open is left out: nobody reads from it.
 */
final class PortHolders {

  private static final Path PROC = Path.of("/proc");
  private static final Path NET = Path.of("/proc/thread-self/net");
  private static final String LISTENING = "0A";
  private static final String UNCONNECTED = "07";
  private static final int LOCAL = 1;
  private static final int STATE = 3;
  private static final int INODE = 9;
  private static final int HEXADECIMAL = 16;
  private static final String SOCKET = "socket:[";
  private static final String SOCKET_UNIT = ".socket";
  private static final String SYSTEMD = "1";
  private static final String UNIFIED = "0::";

  private PortHolders() {}

  private record Port(Protocol protocol, int number) {}

  /**
   * A socket on a declared port.
   *
   * @param owner index of the workload whose the port is there
   */
  private record Owned(Port port, int owner) {}

  /**
   * Processes that hold a declared port and are not its owner's, one sentence each.
   *
   * @param declared who lives where, by path of the cgroup
   * @param numbers of workloads, by index
   * @param netns the node's own network namespace; empty for the caller's
   * @param homes workloads whose the other ones are, by cookie
   */
  static List<String> wrong(
      Plan plan,
      Map<String, Integer> declared,
      List<Integer> numbers,
      Optional<Path> netns,
      Map<Long, Integer> homes) {
    Map<String, Owned> sockets = new ConcurrentHashMap<>();
    Map<Port, Integer> owners = owners(plan, owner -> !owner.apart());
    if (!owners.isEmpty()) {
      sockets.putAll(
          netns.isPresent() ? SystemCalls.in(netns.get(), () -> sockets(owners)) : sockets(owners));
    }
    if (!homes.isEmpty() && plan.ports().stream().anyMatch(PortOwner::apart)) {
      new Namespaces(netns, failure -> {})
          .everywhere(
              () -> {
                Integer home = homes.get(SystemCalls.netnsCookie(Optional.empty()));
                if (home != null) {
                  sockets.putAll(
                      sockets(
                          owners(
                              plan,
                              owner ->
                                  owner.apart() && numbers.get(owner.workload()).equals(home))));
                }
              });
    }
    List<String> found = new ArrayList<>();
    if (sockets.isEmpty()) {
      return List.of();
    }
    for (Path process : list(PROC)) {
      String pid = String.valueOf(process.getFileName());
      if (!Character.isDigit(pid.charAt(0))) {
        continue;
      }
      for (Owned one : held(process, sockets)) {
        if (pid.equals(SYSTEMD) && namesSocketUnit(plan, one.owner())) {
          continue; // it keeps what was made in the unit's cgroup; whether it was, the walk knows
        }
        String cgroup = cgroup(process);
        if (!livesAt(cgroup, declared).equals(Optional.of(numbers.get(one.owner())))) {
          found.add(
              "port "
                  + one.port().number()
                  + " ("
                  + one.port().protocol()
                  + ") of "
                  + plan.workloads().get(one.owner()).key()
                  + " is held by another, who had it before: process "
                  + pid
                  + " ("
                  + line(process.resolve("comm"))
                  + ") in cgroup "
                  + cgroup
                  + whatToDo(pid, cgroup, plan.settings().audit()));
        }
      }
    }
    return List.copyOf(found);
  }

  private static boolean namesSocketUnit(Plan plan, int workload) {
    return plan.workloads().get(workload).cgroups().stream().anyMatch(c -> c.endsWith(SOCKET_UNIT));
  }

  /** Who makes sockets for others is not to be ended: their owner names his unit. */
  static String whatToDo(String pid, String cgroup, boolean audit) {
    boolean unit = pid.equals(SYSTEMD) || cgroup.endsWith(SOCKET_UNIT);
    String end = unit ? "stop its socket unit" : "end it";
    return (audit
            ? "; audit mode: it answers in the owner's place until you " + end
            : "; nothing comes to it any more: " + end + ", so that the owner can bind it")
        + (unit
            ? "; if it is the workload's own socket unit, name it in spec.systemdSockets and"
                + " restart it"
            : "");
  }

  private static Map<Port, Integer> owners(Plan plan, Predicate<PortOwner> which) {
    Map<Port, Integer> owners = new HashMap<>();
    for (PortOwner owner : plan.ports()) {
      if (which.test(owner)) {
        owners.put(new Port(owner.protocol(), owner.port()), owner.workload());
      }
    }
    return owners;
  }

  /** Those of this thread's namespace on ports that are somebody's. An inode has only one. */
  private static Map<String, Owned> sockets(Map<Port, Integer> owners) {
    Map<String, Owned> owned = new HashMap<>();
    sockets()
        .forEach(
            (inode, port) ->
                Optional.ofNullable(owners.get(port))
                    .ifPresent(owner -> owned.put(inode, new Owned(port, owner))));
    return owned;
  }

  /** By inode: those that wait for connections, and UDP sockets without a peer. */
  private static Map<String, Port> sockets() {
    Map<String, Port> found = new HashMap<>();
    read(NET.resolve("tcp"), Protocol.TCP, LISTENING, found);
    read(NET.resolve("tcp6"), Protocol.TCP, LISTENING, found);
    read(NET.resolve("udp"), Protocol.UDP, UNCONNECTED, found);
    read(NET.resolve("udp6"), Protocol.UDP, UNCONNECTED, found);
    return found;
  }

  private static void read(Path file, Protocol protocol, String state, Map<String, Port> found) {
    for (String line : lines(file)) {
      String[] fields = line.strip().split(" +", -1);
      if (fields.length > INODE && fields[STATE].equals(state)) {
        String local = fields[LOCAL];
        found.put(
            fields[INODE],
            new Port(
                protocol, Integer.parseInt(local.substring(local.indexOf(':') + 1), HEXADECIMAL)));
      }
    }
  }

  private static List<Owned> held(Path process, Map<String, Owned> sockets) {
    List<Owned> held = new ArrayList<>();
    for (Path descriptor : list(process.resolve("fd"))) {
      String target = target(descriptor);
      if (target.startsWith(SOCKET)) {
        Owned one = sockets.get(target.substring(SOCKET.length(), target.length() - 1));
        if (one != null && !held.contains(one)) {
          held.add(one);
        }
      }
    }
    return held;
  }

  private static String target(Path descriptor) {
    try {
      return Files.readSymbolicLink(descriptor).toString();
    } catch (IOException e) {
      return ""; // closed meanwhile
    }
  }

  /** As the kernel does it: the nearest of the cgroup and those above it that is declared. */
  private static Optional<Integer> livesAt(String cgroup, Map<String, Integer> declared) {
    for (String path = cgroup; !path.isEmpty(); path = path.substring(0, path.lastIndexOf('/'))) {
      Integer number = declared.get(path);
      if (number != null) {
        return Optional.of(number);
      }
    }
    return Optional.empty();
  }

  private static String cgroup(Path process) {
    return lines(process.resolve("cgroup")).stream()
        .filter(line -> line.startsWith(UNIFIED))
        .map(line -> line.substring(UNIFIED.length()))
        .findFirst()
        .orElse("");
  }

  private static String line(Path file) {
    return lines(file).stream().findFirst().orElse("?");
  }

  /** Nothing of a process that has ended, or of a family that the kernel lacks. */
  private static List<String> lines(Path file) {
    try {
      return Files.readAllLines(file, StandardCharsets.ISO_8859_1);
    } catch (IOException e) {
      return List.of();
    }
  }

  private static List<Path> list(Path directory) {
    List<Path> entries = new ArrayList<>();
    try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory)) {
      stream.forEach(entries::add);
    } catch (IOException | DirectoryIteratorException e) {
      return entries;
    }
    return entries;
  }
}
