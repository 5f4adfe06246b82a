// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Another machine: a network namespace beside the test's, with a cable (veth) between them. The
 * node has {@link #NODE}, {@link #NODE6}, {@link #NODE6_SECOND} and {@link #NODE_LINK}, the other
 * machine {@link #THERE} and {@link #THERE6}.
 */
final class Outside implements AutoCloseable {

  static final String NODE = "10.77.0.1";
  static final String NODE6 = "fd77::1";
  static final String NODE6_SECOND = "fd77::11";
  static final String NODE_LINK = "fe80::77:1";
  static final String NODE_DEVICE = "lan0";
  static final String THERE = "10.77.0.2";
  static final String THERE_SECOND = "10.77.0.3";
  static final String THERE6 = "fd77::2";
  static final String DEVICE = "lan1";
  static final String BROADCAST = "10.77.0.255";

  private final KernelTest kernel;
  private final String name;

  Outside(KernelTest kernel) {
    this.kernel = kernel;
    name = kernel.netns() + "-out";
    String node = kernel.netns();
    KernelTest.ip("netns", "add", name);
    KernelTest.ip(
        "-n",
        node,
        "link",
        "add",
        NODE_DEVICE,
        "type",
        "veth",
        "peer",
        "name",
        DEVICE,
        "netns",
        name);
    KernelTest.ip("-n", node, "link", "set", NODE_DEVICE, "addrgenmode", "none", "up");
    KernelTest.ip("-n", name, "link", "set", DEVICE, "addrgenmode", "none", "up");
    KernelTest.ip("-n", name, "link", "set", "lo", "up");
    add(node, NODE + "/24", NODE_DEVICE);
    add(node, NODE6 + "/64", NODE_DEVICE);
    add(node, NODE6_SECOND + "/64", NODE_DEVICE);
    add(node, NODE_LINK + "/64", NODE_DEVICE);
    add(name, THERE + "/24", DEVICE);
    add(name, THERE_SECOND + "/24", DEVICE);
    add(name, THERE6 + "/64", DEVICE);
    add(name, "fe80::77:2/64", DEVICE);
    KernelTest.ip("-n", node, "route", "add", "239.0.0.0/8", "dev", NODE_DEVICE);
    KernelTest.ip("-n", name, "route", "add", "239.0.0.0/8", "dev", DEVICE);
  }

  private static void add(String netns, String address, String device) {
    List<String> command = new ArrayList<>(List.of("-n", netns, "addr", "add", address));
    if (address.contains(":")) {
      command.add("nodad");
    } else {
      command.addAll(List.of("broadcast", "+"));
    }
    command.addAll(List.of("dev", device));
    KernelTest.ip(command.toArray(String[]::new));
  }

  /** Gives the other machine one more address, on its lo. */
  void address(String address) {
    add(name, address, "lo");
  }

  /**
   * From now on the other machine calls from an address that no interface has: for the mesh, which
   * knows the addresses of every namespace here, a machine elsewhere.
   */
  void callsFromAfar() {
    KernelTest.ip("-n", name, "route", "add", "local", "10.98.1.0/24", "dev", "lo");
    KernelTest.ip("-n", name, "route", "add", NODE + "/32", "dev", DEVICE, "src", "10.98.1.7");
    KernelTest.ip("-n", kernel.netns(), "route", "add", "10.98.1.0/24", "via", THERE);
  }

  /** Holds connections open from there, and says how they fare. */
  Held hold(String address, int port, int connections) {
    return Held.start(
        List.of(
            System.getProperty("weir.probers") + "/hold",
            "--netns",
            "/run/netns/" + name,
            address,
            Integer.toString(port),
            Integer.toString(connections)));
  }

  /** Gives the other machine a block of addresses that no interface has. */
  void elsewhere(String block) {
    KernelTest.ip("-n", name, "route", "add", "local", block, "dev", "lo");
  }

  /** The arguments of a prober that runs there. */
  private String[] there(String... arguments) {
    List<String> all = new ArrayList<>(List.of("--netns", "/run/netns/" + name));
    all.addAll(Arrays.asList(arguments));
    all.addAll(List.of("--timeout", "500"));
    return all.toArray(String[]::new);
  }

  Prober.Line run(String... arguments) {
    return kernel.run("", there(arguments));
  }

  /** A process of the node that lives in that namespace, as pods do in theirs. */
  Prober.Line runAs(String cgroup, String... arguments) {
    return kernel.run(cgroup, there(arguments));
  }

  Prober start(String... arguments) {
    return kernel.start("", there(arguments));
  }

  Prober serve(String... arguments) {
    return kernel.serve("", there(arguments));
  }

  Prober serveAs(String cgroup, String... arguments) {
    return kernel.serve(cgroup, there(arguments));
  }

  /** The line a server sent, or the errno. */
  String ask(String address, int port, String... options) {
    return answer("connect", address, port, options);
  }

  /** What an unconnected datagram was answered with, or the errno. */
  String send(String address, int port, String... options) {
    return answer("sendto", address, port, options);
  }

  private String answer(String command, String address, int port, String... options) {
    List<String> arguments =
        new ArrayList<>(List.of(command, address, Integer.toString(port), "--read"));
    arguments.addAll(Arrays.asList(options));
    Prober.Line line = run(arguments.toArray(String[]::new));
    return line.text("result").equals("ok") ? line.text("line") : line.text("result");
  }

  @Override
  public void close() {
    KernelTest.ip("netns", "delete", name);
  }
}
