// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Network namespaces as a CNI plugin makes them: each pod has one of its own, with a cable (veth)
 * to a bridge of the node, which has {@link #NODE} and {@link #NODE6} and is the pods' gateway. A
 * pod's processes live in the cgroup of its name.
 */
final class Pods implements AutoCloseable {

  static final String NODE = "10.88.0.1";
  static final String NODE6 = "fd88::1";

  private static final String BRIDGE = "cni0";
  private static final int FIRST = 11;

  private final KernelTest kernel;
  private final Map<String, Integer> pods = new HashMap<>();

  Pods(KernelTest kernel, String... names) {
    this.kernel = kernel;
    String node = kernel.netns();
    KernelTest.ip("-n", node, "link", "add", BRIDGE, "type", "bridge");
    KernelTest.ip("-n", node, "link", "set", BRIDGE, "addrgenmode", "none", "up");
    KernelTest.ip("-n", node, "addr", "add", NODE + "/24", "dev", BRIDGE);
    KernelTest.ip("-n", node, "addr", "add", NODE6 + "/64", "nodad", "dev", BRIDGE);
    try {
      for (String name : names) {
        add(name);
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /** Gives one more pod its namespace. */
  void add(String name) {
    String netns = netns(name);
    String node = kernel.netns();
    int number = FIRST + pods.size();
    KernelTest.ip("netns", "add", netns);
    pods.put(name, number);
    String device = "veth" + number;
    KernelTest.ip(
        "-n", node, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", netns);
    KernelTest.ip("-n", node, "link", "set", device, "addrgenmode", "none");
    KernelTest.ip("-n", node, "link", "set", device, "master", BRIDGE, "up");
    KernelTest.ip("-n", netns, "link", "set", "lo", "up");
    KernelTest.ip("-n", netns, "link", "set", "eth0", "addrgenmode", "none", "up");
    KernelTest.ip("-n", netns, "addr", "add", address(name) + "/24", "dev", "eth0");
    KernelTest.ip("-n", netns, "addr", "add", address6(name) + "/64", "nodad", "dev", "eth0");
    KernelTest.ip("-n", netns, "route", "add", "default", "via", NODE);
    KernelTest.ip("-n", netns, "-6", "route", "add", "default", "via", NODE6);
  }

  /** Ends a pod's namespace, as far as no process holds it. */
  void remove(String name) {
    if (pods.remove(name) != null) {
      KernelTest.ip("netns", "delete", netns(name));
    }
  }

  /** The name of a pod's namespace. */
  String netns(String name) {
    return kernel.netns() + "-" + name;
  }

  private int number(String name) {
    Integer number = pods.get(name);
    if (number == null) {
      throw new IllegalArgumentException("no pod " + name);
    }
    return number;
  }

  /** The pod's IPv4 address. */
  String address(String name) {
    return "10.88.0." + number(name);
  }

  /** The pod's IPv6 address. */
  String address6(String name) {
    return "fd88::" + number(name);
  }

  /** The address in the family that is asked for. */
  String address(String name, boolean v6) {
    return v6 ? address6(name) : address(name);
  }

  private String[] inside(String name, String... arguments) {
    List<String> all = new ArrayList<>(List.of("--netns", "/run/netns/" + netns(name)));
    all.addAll(Arrays.asList(arguments));
    return all.toArray(String[]::new);
  }

  /** Runs a client in a pod. */
  Prober.Line run(String name, String... arguments) {
    return kernel.run(name, inside(name, arguments));
  }

  /** Runs a client of another cgroup in a pod's namespace. */
  Prober.Line runAs(String cgroup, String name, String... arguments) {
    return kernel.run(cgroup, inside(name, arguments));
  }

  /** Starts a client in a pod. */
  Prober start(String name, String... arguments) {
    return kernel.start(name, inside(name, arguments));
  }

  /** Starts a server in a pod. */
  Prober serve(String name, String... arguments) {
    return kernel.serve(name, inside(name, arguments));
  }

  /** Starts a server of another cgroup in a pod's namespace. */
  Prober serveAs(String cgroup, String name, String... arguments) {
    return kernel.serve(cgroup, inside(name, arguments));
  }

  /** What connect() of a pod gives: the line that the server sends, or the errno. */
  String ask(String name, String address, int port, String... options) {
    return answer(run(name, command("connect", address, port, options)));
  }

  /** What an unconnected datagram of a pod is answered with, or the errno. */
  String send(String name, String address, int port, String... options) {
    return answer(run(name, command("sendto", address, port, options)));
  }

  static String[] command(String what, String address, int port, String... options) {
    List<String> arguments =
        new ArrayList<>(
            List.of(what, address, Integer.toString(port), "--read", "--timeout", "700"));
    arguments.addAll(Arrays.asList(options));
    return arguments.toArray(String[]::new);
  }

  static String answer(Prober.Line line) {
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  @Override
  public void close() {
    RuntimeException failure = null;
    for (String name : List.copyOf(pods.keySet())) {
      try {
        remove(name);
      } catch (RuntimeException e) {
        failure = e; // the others go all the same
      }
    }
    if (failure != null) {
      throw failure;
    }
  }
}
