// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.kernel.Audit;
import dev.weir.node.kernel.Current;
import dev.weir.node.kernel.Drift;
import dev.weir.node.kernel.Ejection;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.NodeException;
import dev.weir.node.kernel.Places;
import dev.weir.node.kernel.Snapshot;
import dev.weir.node.kernel.Snapshot.Refusal;
import dev.weir.node.telemetry.Exposition;
import dev.weir.node.telemetry.KernelMetrics;
import dev.weir.node.telemetry.Names;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Plan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What is in force, and whether all that should be there is: kernel, agent and proxy as they are
 * found, whoever is asked.
 *
 * @param json all of it for programs
 * @param text all of it for people
 * @param problems what is not as it should be, one sentence each
 */
public record NodeHealth(Map<String, Object> json, String text, List<String> problems) {

  private static final Duration ANSWER_LIMIT = Duration.ofSeconds(3);
  private static final int REFUSALS_SHOWN = 5;

  /** Copies the list. */
  public NodeHealth {
    problems = List.copyOf(problems);
  }

  /** How a mesh is. */
  public static NodeHealth of(KernelNode node) {
    return new Examination(node).result();
  }

  /**
   * The kernel's counters and the proxy's, with no agent to ask.
   *
   * @param series how many pairs, and kinds of refusals, have series of their own
   * @throws NodeException when nothing is in force
   */
  public static String metrics(KernelNode node, int series) {
    Current current =
        node.current().orElseThrow(() -> new NodeException("nothing is in force: weir apply DIR"));
    Exposition all =
        new Exposition()
            .add(kernelMetrics(node, new Names(current, node::workloadKey, node::ruleKey), series));
    ProxySupervisor.ask(ProxySupervisor.socket(node.places().runDir()), FrameType.METRICS)
        .ifPresent(frame -> all.add(frame.text()));
    return all.text();
  }

  static String kernelMetrics(KernelNode node, Names names, int series) {
    return Exposition.text(new KernelMetrics(names, series).families(node.telemetry()));
  }

  /** Gathers lines, members and problems side by side. */
  private static final class Examination {

    private final KernelNode node;
    private final Places places;
    private final Map<String, Object> json = new LinkedHashMap<>();
    private final List<String> lines = new ArrayList<>();
    private final List<String> problems = new ArrayList<>();

    Examination(KernelNode node) {
      this.node = node;
      places = node.places();
    }

    NodeHealth result() {
      Optional<Current> current = node.current();
      current.ifPresentOrElse(this::generation, this::nothing);
      kernel(current);
      boolean proxyNeeded = current.filter(c -> c.plan().proxy().needed()).isPresent();
      agent(proxyNeeded);
      proxy(current, proxyNeeded);
      current.ifPresent(this::audit);
      current.ifPresent(this::refusals);
      json.put("problems", problems);
      problems.forEach(problem -> lines.add("problem     " + problem));
      return new NodeHealth(json, String.join("\n", lines), problems);
    }

    private void line(String what, String text) {
      lines.add(String.format("%-11s %s", what, text));
    }

    private void nothing() {
      json.put("generation", 0);
      line("generation", "none: nothing is in force");
      problems.add("nothing is in force: weir apply DIR, or weir up DIR");
    }

    private void generation(Current current) {
      Plan plan = current.plan();
      json.put("generation", current.generation());
      json.put("unconfirmed_seconds", current.unconfirmed().map(Duration::toSeconds));
      json.put("workloads", workloads(plan));
      json.put("services", plan.services().size());
      json.put("verdicts", plan.verdicts().size());
      line(
          "generation",
          current.generation()
              + " in force: "
              + workloads(plan)
              + " workloads, "
              + plan.services().size()
              + " services, "
              + plan.verdicts().size()
              + " verdicts"
              + current
                  .unconfirmed()
                  .map(left -> "; goes back in " + left.toSeconds() + " s unless confirmed")
                  .orElse(""));
    }

    private static long workloads(Plan plan) {
      return plan.workloads().stream()
          .filter(w -> !w.kind().equals("Reserved") && !w.kind().equals("Service"))
          .count();
    }

    private void kernel(Optional<Current> current) {
      Set<String> programs = pinned("programs");
      Set<String> links = pinned("links");
      json.put("programs", programs);
      json.put("links", links);
      if (programs.isEmpty() && links.isEmpty()) {
        line("kernel", "nothing pinned in " + places.pinDir());
      } else {
        line(
            "kernel",
            links.size()
                + " programs attached at "
                + places.cgroupRoot()
                + ", pinned in "
                + places.pinDir());
      }
      Set<String> loose = new TreeSet<>(programs);
      loose.removeAll(links);
      current.ifPresent(c -> loose.removeAll(KernelNode.unattached(c.plan())));
      if (current.isPresent() && !loose.isEmpty()) {
        problems.add(
            "not attached: " + String.join(", ", loose) + "; weir apply attaches them again");
      }
    }

    private Set<String> pinned(String kind) {
      Path directory = places.pinDir().resolve(kind);
      if (!Files.isDirectory(directory)) {
        return Set.of();
      }
      try (Stream<Path> pins = Files.list(directory)) {
        return pins.map(pin -> pin.getFileName().toString())
            .collect(Collectors.toCollection(TreeSet::new));
      } catch (IOException e) {
        problems.add("cannot read " + directory + ": " + e.getMessage());
        return Set.of();
      }
    }

    private void agent(boolean proxyNeeded) {
      Optional<ProcessId> holder = AgentLock.holder(places.runDir());
      Map<String, Object> member = new LinkedHashMap<>();
      json.put("agent", member);
      if (holder.isEmpty()) {
        member.put("state", "none");
        line("agent", proxyNeeded ? "none" : "none (none is needed)");
        if (proxyNeeded) {
          problems.add("no agent minds the proxy: weir up DIR");
        }
        enrolment();
        return;
      }
      long pid = holder.get().pid();
      member.put("pid", pid);
      if (!holder.get().alive()) {
        member.put("state", "dead");
        line("agent", "dead; it was process " + pid + ". What it put in force still is");
        problems.add("the agent, process " + pid + ", has died: weir up DIR takes over");
        enrolment();
        return;
      }
      try {
        Frame reply =
            ControlClient.call(
                Agent.socket(places.runDir()), Frame.of(FrameType.STATUS), ANSWER_LIMIT);
        Map<String, Object> status = JsonObject.parse(reply.text(), "reply").toMap();
        member.put("state", "running");
        member.putAll(status);
        line("agent", "process " + pid + ", follows " + status.get("directory"));
        if (status.get("policy_errors") instanceof List<?> errors && !errors.isEmpty()) {
          errors.forEach(error -> problems.add("policy files refused: " + error));
        }
      } catch (IOException | IllegalArgumentException e) {
        member.put("state", "silent");
        line("agent", "process " + pid + ", does not answer");
        problems.add("the agent, process " + pid + ", does not answer: " + e.getMessage());
      }
    }

    /** Where the kernel does not enrol cgroups by itself and nobody else does. */
    private void enrolment() {
      if (node.agentRequired()) {
        problems.add(
            "no agent enrols cgroups, and this kernel does not: what is made from now on is not"
                + " governed; weir up DIR");
      }
    }

    private void proxy(Optional<Current> current, boolean needed) {
      Optional<ProcessId> left = ProxySupervisor.left(places.runDir());
      Map<String, Object> member = new LinkedHashMap<>();
      json.put("proxy", member);
      member.put("needed", needed);
      member.put("pid", left.map(ProcessId::pid));
      Optional<Map<String, Object>> status =
          left.flatMap(
                  id ->
                      ProxySupervisor.ask(
                          ProxySupervisor.socket(places.runDir()), FrameType.STATUS))
              .flatMap(Examination::object);
      member.put("status", status);
      if (left.isEmpty()) {
        line("proxy", needed ? "none" : "none (none is needed)");
      } else {
        line(
            "proxy",
            "process "
                + left.get().pid()
                + status
                    .map(answer -> ", generation " + answer.get("generation"))
                    .orElse(", does not answer"));
        status.ifPresent(
            answer -> ProxyLines.of(answer).forEach(line -> line(line.what(), line.text())));
      }
      if (needed && status.isEmpty()) {
        problems.add("the proxy does not run: services that lead to it are refused");
      } else if (needed
          && status.get().get("generation") instanceof Number generation
          && current.isPresent()
          && generation.longValue() != current.get().generation()) {
        problems.add(
            "the proxy is at generation "
                + generation
                + ", the kernel at "
                + current.get().generation());
      }
    }

    private static Optional<Map<String, Object>> object(Frame frame) {
      try {
        return Optional.of(JsonObject.parse(frame.text(), "frame").toMap());
      } catch (IllegalArgumentException e) {
        return Optional.empty();
      }
    }

    /** Compared here and now, whether or not an agent does so too. */
    private void audit(Current current) {
      try {
        Audit audit = node.audit(Optional.of(current), false);
        List<String> drifts = audit.drifts().stream().map(Drift::what).toList();
        json.put("drift", drifts);
        drifts.forEach(drift -> problems.add("drift: " + drift + REPAIRS));
        line(
            "audit",
            (drifts.isEmpty() ? "kernel and plan agree" : drifts.size() + " differences")
                + byAgent());
      } catch (NodeException | BpfException e) {
        line("audit", "not possible");
        problems.add("the kernel cannot be compared with the plan: " + e.getMessage());
      }
    }

    private static final String REPAIRS = " (the agent repairs it each 10 s; weir apply at once)";

    /** What the agent has found until now. */
    private String byAgent() {
      return json.get("agent") instanceof Map<?, ?> agent
              && agent.get("audit") instanceof Map<?, ?> told
              && told.get("last") instanceof String last
          ? "; the agent's last audit "
              + last
              + ", drifts found "
              + told.get("found")
              + ", repaired "
              + told.get("repaired")
          : "";
    }

    private void refusals(Current current) {
      Snapshot snapshot;
      try {
        snapshot = node.telemetry();
      } catch (NodeException | BpfException e) {
        problems.add("cannot read the kernel's counters: " + e.getMessage());
        return;
      }
      Names names = new Names(current, node::workloadKey, node::ruleKey);
      List<Refusal> most =
          snapshot.refusals().stream()
              .filter(refusal -> !refusal.audited())
              .sorted(Comparator.comparingLong(Refusal::count).reversed())
              .toList();
      long total = most.stream().mapToLong(Refusal::count).sum();
      json.put("refused", total);
      json.put("refusals", most.stream().map(refusal -> member(names, refusal)).toList());
      ejections(names);
      line("refused", Long.toString(total));
      most.stream()
          .limit(REFUSALS_SHOWN)
          .forEach(
              refusal ->
                  lines.add(
                      "            "
                          + refusal.count()
                          + "  "
                          + names.workloadText(refusal.source())
                          + " -> "
                          + names.workloadText(refusal.destination())
                          + ":"
                          + refusal.port()
                          + " by "
                          + names.ruleText(refusal.rule())));
    }

    /** Backends that connects pass over; nothing is wrong with the node. */
    private void ejections(Names names) {
      List<Ejection> ejections = node.ejections();
      json.put("ejected", ejections.stream().map(one -> member(names, one)).toList());
      if (ejections.isEmpty()) {
        return;
      }
      line("ejected", Integer.toString(ejections.size()));
      ejections.stream()
          .limit(REFUSALS_SHOWN)
          .forEach(
              one ->
                  lines.add(
                      "            "
                          + one.address()
                          + " port "
                          + one.port()
                          + " for "
                          + names.workloadText(one.source())
                          + ", "
                          + (one.left().toSeconds() + 1)
                          + " s more"));
    }

    private static Map<String, Object> member(Names names, Ejection ejection) {
      Map<String, Object> member = new LinkedHashMap<>();
      member.put("source", names.workloadText(ejection.source()));
      member.put("address", ejection.address().toString());
      member.put("port", ejection.port());
      member.put("millis_left", ejection.left().toMillis());
      member.put("times", ejection.times());
      return member;
    }

    private static Map<String, Object> member(Names names, Refusal refusal) {
      Map<String, Object> member = new LinkedHashMap<>();
      member.put("source", names.workloadText(refusal.source()));
      member.put("destination", names.workloadText(refusal.destination()));
      member.put("port", refusal.port());
      member.put("protocol", refusal.protocol().name().toLowerCase(Locale.ROOT));
      member.put("rule", names.ruleText(refusal.rule()));
      member.put("reason", refusal.reason().name().toLowerCase(Locale.ROOT));
      member.put("count", refusal.count());
      return member;
    }
  }
}
