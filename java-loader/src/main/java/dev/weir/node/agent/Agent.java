// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.kernel.Applied;
import dev.weir.node.kernel.Audit;
import dev.weir.node.kernel.Current;
import dev.weir.node.kernel.Drift;
import dev.weir.node.kernel.Event;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.NodeException;
import dev.weir.node.kernel.Reason;
import dev.weir.node.telemetry.Exposition;
import dev.weir.node.telemetry.Names;
import dev.weir.node.telemetry.RefusalLog;
import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonObject;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.ProxyUpdate;
import io.prometheus.client.Collector;
import io.prometheus.client.Collector.MetricFamilySamples;
import io.prometheus.client.Collector.MetricFamilySamples.Sample;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A node's agent. It enforces what was last good before it reads a file, keeps kernel and proxy at
 * what the files say, and tells how they are doing. What it has put in force does not need it: it
 * may be killed at any moment, and whoever comes next adopts what is there.
 *
 * <p>Every change, of whatever cause, is made on one thread, one after the other.
 */
public final class Agent implements AutoCloseable {

  /** What is in flight in the proxy may take this long when the proxy is no longer needed. */
  private static final Duration DRAIN = Duration.ofSeconds(2);

  /** For a proxy to be there and have its plan, when somebody waits for it. */
  private static final Duration PROXY_LIMIT = Duration.ofSeconds(15);

  private static final Duration EXPIRY_POLL = Duration.ofMillis(200);
  private static final Duration WRITING_POLL = Duration.ofMillis(50);
  private static final Duration NAMESPACES_POLL = Duration.ofSeconds(2);

  /** How often cgroups are looked at where the kernel does not tell when one is made. */
  private static final Duration ENROLLING = Duration.ofMillis(200);

  /** After a change, what it was compiled from is garbage; it is let go of when nothing follows. */
  private static final Duration SETTLED = Duration.ofSeconds(3);

  private final AgentSettings settings;
  private final Log log;
  private final AgentLock lock;
  private final KernelNode node;
  private final ScheduledExecutorService mesh =
      Executors.newSingleThreadScheduledExecutor(Thread.ofPlatform().name("weir-mesh").factory());
  private final ProxySupervisor proxy;
  private final ScrapeServer scrape;
  private final NamespaceListeners listeners;
  private final AtomicBoolean looking = new AtomicBoolean();
  private final Optional<FlowRecorder> flows;
  private final RefusalLog refusals;
  private final CountDownLatch ended = new CountDownLatch(1);
  private final AtomicLong policyErrors = new AtomicLong();
  private final AtomicLong changes = new AtomicLong();
  private final AtomicLong settling = new AtomicLong();

  private final PolicyFiles policyFiles = new PolicyFiles();
  private Path directory;
  private @Nullable DirectoryWatcher watcher;
  private @Nullable ControlServer control;
  private KernelNode.@Nullable Subscription events;

  /** What the files said when it was last refused or went back by itself; not tried again. */
  private Optional<Policy.Good> undone = Optional.empty();

  private volatile Optional<Current> inForce = Optional.empty();
  private volatile Optional<Names> names = Optional.empty();
  private volatile List<String> errors = List.of();
  private volatile AuditLog audits = AuditLog.NONE;
  private volatile boolean isDown;

  private Agent(AgentSettings settings, Log log, AgentLock lock) {
    this.settings = settings;
    this.log = log;
    this.lock = lock;
    directory = settings.directory();
    node = KernelNode.open(settings.places());
    refusals = new RefusalLog(System::nanoTime, node::cgroupPath);
    proxy = new ProxySupervisor(settings.places().runDir(), settings.proxy(), mesh, log);
    listeners = new NamespaceListeners(node, settings.proxy().java(), proxy.socket(), log);
    flows =
        Optional.of(settings.telemetry())
            .filter(telemetry -> telemetry.flowLogBytes() > 0)
            .map(telemetry -> new FlowRecorder(node, telemetry, log));
    scrape = new ScrapeServer(settings.scrapeAddress(), this::metrics, this::problems, log);
  }

  /**
   * Starts an agent; when this returns, policy is in force.
   *
   * @throws NodeException when another agent runs, or this kernel or user lacks something
   * @throws PolicyRefusedException when the files are bad, nothing is in force, and there is
   *     nothing last good to go on with
   * @throws IOException when a file or socket of its own cannot be made
   */
  public static Agent start(AgentSettings settings, Log log) throws IOException {
    AgentLock lock = AgentLock.take(settings.places().runDir());
    Agent agent = new Agent(settings, log, lock);
    try {
      agent.onMesh(
          () -> {
            agent.begin();
            return true;
          });
      return agent;
    } catch (RuntimeException e) {
      agent.leave();
      throw e;
    }
  }

  private void begin() throws IOException {
    enforceWhatWasThere();
    proxy.adopt();
    // Watched before it is read: a change in between is read twice, not missed.
    watcher = watch(directory);
    switch (policyFiles.read(directory)) {
      case Policy.Bad bad -> {
        refused(bad);
        if (inForce.isEmpty()) {
          throw new PolicyRefusedException(bad.errors());
        }
        log.warn("going on with generation " + inForce.get().generation());
        var _ = serveCurrent();
      }
      case Policy.Good good -> putInForce(good);
    }
    control = new ControlServer(socket(settings.places().runDir()), this::answer, log);
    notifyManager();
    settle();
    later(settings.auditInterval(), this::audit);
    later(Duration.ZERO, this::lookAround);
    later(ENROLLING, this::enrollMade);
  }

  /**
   * Pods come and go without any file changing: which addresses are whose, and where the proxy has
   * to listen.
   */
  private void lookAround() {
    try {
      if (inForce.isPresent() && !isDown) {
        node.followNamespaces().forEach(log::warn);
        listen();
      }
    } finally {
      later(NAMESPACES_POLL, this::lookAround);
    }
  }

  /** Somebody is refused because the proxy does not listen where he is: no need to wait then. */
  private void listenSoon() {
    if (looking.compareAndSet(false, true)) {
      later(Duration.ZERO, this::listen);
    }
  }

  private void listen() {
    looking.set(false);
    inForce
        .filter(current -> current.plan().proxy().needed() && proxy.ready())
        .ifPresent(current -> listeners.look(current.plan()));
  }

  /**
   * Where the kernel watches no cgroups, somebody has to: what a declared workload opened before
   * its cgroup was seen is asked for again then.
   */
  private void enrollMade() {
    try {
      if (node.agentRequired() && node.enrollMade() > 0) {
        node.endOpenConnections().forEach(log::info);
      }
    } catch (NodeException | BpfException e) {
      log.error("cgroups that were made are not enrolled: " + e.getMessage());
    } finally {
      later(ENROLLING, this::enrollMade);
    }
  }

  /**
   * Once nothing has changed for a while, the memory that compiling took goes back to the node:
   * while it idles the agent makes so little garbage that the collector would not run by itself.
   */
  private void settle() {
    long then = settling.incrementAndGet();
    later(
        SETTLED,
        () -> {
          if (settling.get() == then) {
            System.gc();
          }
        });
  }

  /**
   * What is pinned, or what was last good: either was in force before, so it may be at once, and
   * nothing that starts after us runs without it.
   */
  private void enforceWhatWasThere() {
    if (node.current().filter(current -> !current.governsNobody()).isEmpty()) {
      enforceLastGood();
    } else {
      if (node.rollBackIfExpired()) {
        log.warn("a generation was not confirmed in time; the one before is in force again");
      }
      if (node.outdated()) {
        takeOver();
      }
      int added = node.enroll();
      log.info("adopted what is in force" + (added > 0 ? ", enrolled " + added + " cgroups" : ""));
      // Whoever put it in force may have been killed before it came to that.
      node.endOpenConnections().forEach(log::info);
    }
    follow();
  }

  /**
   * Puts in force what was, before the boot. When that cannot be, the files are what is left to go
   * by: to end here would leave the node without any policy until somebody comes.
   */
  private void enforceLastGood() {
    try {
      node.lastGood()
          .ifPresent(
              last -> {
                Applied applied = node.apply(last.plan(), last.keyPairs(), Duration.ZERO);
                log.info(
                    "generation "
                        + applied.generation()
                        + ", the last good one, is in force after "
                        + applied.took().toMillis()
                        + " ms");
              });
    } catch (NodeException | BpfException e) {
      log.error(
          "the last good generation is not in force; the files are read now: " + e.getMessage());
    }
  }

  /** The same policy with the programs of this version; connections go on. */
  private void takeOver() {
    node.current()
        .ifPresent(
            current -> {
              Applied applied =
                  node.apply(
                      current.plan(),
                      current.keyPairs(),
                      current.unconfirmed().orElse(Duration.ZERO));
              applied.remarks().forEach(log::info);
              log.info("took over from another version");
            });
  }

  /** Makes what is in force in the kernel known to all of the agent. */
  private void follow() {
    inForce = node.current();
    names = inForce.map(current -> new Names(current, node::workloadKey, node::ruleKey));
    inForce.ifPresent(
        current -> {
          scrape.listen(
              current.plan().settings().metricsPort(), current.plan().settings().healthPort());
          flows.ifPresent(log -> names.ifPresent(known -> log.follow(current, known)));
          if (events == null) {
            events = node.events(this::event);
          }
          current.unconfirmed().ifPresent(this::awaitExpiry);
        });
  }

  private void putInForce(Policy.Good good) {
    good.warnings().forEach(log::warn);
    errors = List.of();
    if (inForce.filter(current -> same(current, good)).isPresent()) {
      log.info("the files in " + directory + " say what is in force already");
      var _ = serveCurrent();
      return;
    }
    try {
      change(good, Duration.ZERO);
    } catch (NodeException | BpfException | ProxyRefusedException e) {
      policyErrors.incrementAndGet();
      errors = List.of(String.valueOf(e.getMessage()));
      log.error(String.valueOf(e.getMessage()));
      if (inForce.isEmpty()) {
        throw e instanceof NodeException node ? node : new NodeException(errors.getFirst(), e);
      }
      undone = Optional.of(good);
      log.warn("generation " + inForce.get().generation() + " stays in force");
      var _ = serveCurrent();
    }
  }

  private static boolean same(Current current, Policy.Good good) {
    return current.plan().equals(good.plan()) && current.keyPairs().equals(good.keyPairs());
  }

  /** Kernel and proxy, in the order in which no request fails ({@link ChangeOrder}), or neither. */
  private Applied change(Policy.Good good, Duration confirmWithin) throws ProxyRefusedException {
    long started = System.nanoTime();
    Optional<Current> before = inForce;
    ChangeOrder order =
        before
            .map(current -> ChangeOrder.of(current.plan(), good.plan()))
            .orElse(ChangeOrder.KERNEL_FIRST);
    Applied applied;
    if (order == ChangeOrder.PROXY_FIRST && proxy.ready()) {
      applied = proxyFirst(before.orElseThrow(), good, confirmWithin);
    } else {
      applied = kernelFirst(before, good, confirmWithin);
    }
    changes.incrementAndGet();
    undone = Optional.empty();
    settle();
    applied.remarks().forEach(log::info);
    log.info(
        "generation "
            + applied.generation()
            + " is in force after "
            + (System.nanoTime() - started) / 1_000_000
            + " ms"
            + (confirmWithin.isZero()
                ? ""
                : ", for " + confirmWithin.toSeconds() + " s unless confirmed"));
    return applied;
  }

  private Applied proxyFirst(Current before, Policy.Good good, Duration confirmWithin)
      throws ProxyRefusedException {
    ProxyUpdate update =
        new ProxyUpdate(
            before.generation() + 1,
            PlanCodec.forProxy(good.plan()),
            node.workloadNumbers(good.plan()),
            good.keyPairs());
    awaitIfReady(proxy.serve(update, node.proxyCgroup(good.plan())));
    try {
      Applied applied = node.apply(good.plan(), good.keyPairs(), confirmWithin);
      follow();
      if (applied.generation() != update.generation()) {
        var _ = serveCurrent(); // the same under its right number, which was only foreseen
      }
      return applied;
    } catch (NodeException | BpfException e) {
      var _ = serveCurrent(); // what the kernel still does
      throw e;
    }
  }

  private Applied kernelFirst(Optional<Current> before, Policy.Good good, Duration confirmWithin)
      throws ProxyRefusedException {
    Applied applied = node.apply(good.plan(), good.keyPairs(), confirmWithin);
    follow();
    try {
      awaitIfReady(serveCurrent());
      return applied;
    } catch (ProxyRefusedException e) {
      if (before.isPresent()) {
        // A generation is in force whole or not at all, so the kernel goes back as well.
        node.apply(before.get().plan(), before.get().keyPairs(), Duration.ZERO);
        follow();
      }
      throw e;
    }
  }

  /**
   * A running proxy has answered by now. One that is only starting may take its time; should it
   * refuse, then what leads to it stays refused, and that is said.
   */
  private static void awaitIfReady(CompletableFuture<Void> served) throws ProxyRefusedException {
    if (!served.isDone()) {
      return;
    }
    try {
      served.join();
    } catch (CompletionException e) {
      if (e.getCause() instanceof ProxyRefusedException refused) {
        throw refused;
      }
      throw e;
    }
  }

  /** Has the proxy do what is in force, or ends it when that needs none. */
  private CompletableFuture<Void> serveCurrent() {
    return inForce
        .filter(current -> current.plan().proxy().needed())
        .map(
            current ->
                proxy.serve(Operations.proxyUpdate(current), node.proxyCgroup(current.plan())))
        .orElseGet(
            () -> {
              if (proxy.process().isPresent()) {
                proxy.stop(DRAIN);
              }
              return CompletableFuture.completedFuture(null);
            });
  }

  private DirectoryWatcher watch(Path where) throws IOException {
    if (!Files.isDirectory(where)) {
      throw new NodeException(where + ": no such directory; name one with policy files");
    }
    return new DirectoryWatcher(
        where,
        settings.quiet(),
        DirectoryWatcher.RECHECK,
        new DirectoryWatcher.Listener() {
          @Override
          public void begun(Set<Path> sofar) {
            if (policyFiles.isOne(where, sofar)) {
              mesh.execute(() -> guarded(() -> readAhead(sofar)));
            }
          }

          @Override
          public void changed(Optional<Set<Path>> paths) {
            mesh.execute(() -> guarded(() -> filesChanged(paths)));
          }
        },
        log);
  }

  /**
   * Compiles while it is not yet known whether the changes have come to rest. If they have, that is
   * what they say; if not, another look finds out.
   */
  private void readAhead(Set<Path> changed) {
    if (inForce.flatMap(Current::unconfirmed).isEmpty()) {
      var _ = policyFiles.readChanged(directory, Optional.of(changed));
    }
  }

  private void filesChanged() {
    filesChanged(Optional.empty());
  }

  private void filesChanged(Optional<Set<Path>> changed) {
    if (inForce.flatMap(Current::unconfirmed).isPresent()) {
      // The slot that a new generation would be written to is the one to go back to.
      policyFiles.miss();
      log.warn("files have changed; they are read when the generation in force is confirmed");
      return;
    }
    Optional<Policy> said = policyFiles.readChanged(directory, changed);
    if (said.isEmpty()) {
      later(WRITING_POLL, this::filesChanged);
      return;
    }
    switch (said.get()) {
      case Policy.Bad bad -> refused(bad);
      case Policy.Good good -> {
        if (inForce.filter(current -> same(current, good)).isPresent()) {
          errors = List.of();
        } else if (!undone.equals(Optional.of(good))) {
          putInForce(good);
        }
      }
    }
  }

  private void refused(Policy.Bad bad) {
    policyErrors.incrementAndGet();
    errors = bad.errors();
    inForce.ifPresent(
        current -> {
          bad.errors().forEach(log::error);
          log.error(
              "the files in "
                  + directory
                  + " are refused; generation "
                  + current.generation()
                  + " stays in force");
        });
  }

  // -- confirmation -------------------------------------------------------------------------------

  /** The kernel goes back by itself; this only notices, and takes the proxy along. */
  private void awaitExpiry(Duration left) {
    later(left.plusMillis(20), this::expire);
  }

  private void expire() {
    if (inForce.flatMap(Current::unconfirmed).isEmpty()) {
      return;
    }
    Optional<Current> now = node.current();
    long generation = inForce.get().generation();
    if (node.rollBackIfExpired()) {
      Current failed = inForce.get();
      undone = Optional.of(new Policy.Good(failed.plan(), failed.keyPairs(), List.of()));
      follow();
      var _ = serveCurrent();
      log.warn(
          "generation "
              + generation
              + " was not confirmed in time; generation "
              + inForce.map(Current::generation).orElse(0L)
              + " is in force again");
    } else if (now.flatMap(Current::unconfirmed).isPresent()) {
      later(EXPIRY_POLL, this::expire);
    } else {
      follow(); // somebody has confirmed it, past us
    }
  }

  // -- what nobody changed ------------------------------------------------------------------------

  /** Compares the kernel with the plan, repairs what differs, and says so. */
  private void audit() {
    try {
      if (inForce.isPresent()) {
        Audit audit = node.audit(inForce, true);
        audits = audits.and(audit, System.currentTimeMillis());
        audit.drifts().forEach(this::tell);
        if (audit.generation() != 0
            && audit.generation() != inForce.map(Current::generation).orElse(0L)) {
          follow(); // somebody has put it in force, past us
          var _ = serveCurrent();
        }
      }
    } catch (NodeException | BpfException e) {
      log.error("the kernel could not be compared with the plan: " + e.getMessage());
    } finally {
      later(settings.auditInterval(), this::audit);
    }
  }

  private void tell(Drift drift) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("drift", AuditLog.word(drift.kind()));
    fields.put("repaired", drift.repaired());
    log.warn(
        "drift: " + drift.what() + (drift.repaired() ? "; repaired" : "; NOT repaired"), fields);
  }

  // -- commands -----------------------------------------------------------------------------------

  /** Where the agent of a run directory answers. */
  public static Path socket(Path runDir) {
    return runDir.resolve("agent.sock");
  }

  private ControlServer.Reply answer(Frame request) {
    return switch (request.type()) {
      case STATUS -> new ControlServer.Reply(Frame.of(FrameType.JSON, Json.line(status())));
      case METRICS -> new ControlServer.Reply(Frame.of(FrameType.TEXT, metrics()));
      case APPLY -> new ControlServer.Reply(apply(request));
      case CONFIRM -> {
        onMesh(
            () -> {
              node.confirm();
              follow();
              log.info("generation " + inForce.map(Current::generation).orElse(0L) + " confirmed");
              filesChanged();
              return true;
            });
        yield new ControlServer.Reply(Frame.of(FrameType.OK));
      }
      case DOWN -> {
        onMesh(
            () -> {
              down();
              return true;
            });
        yield new ControlServer.Reply(Frame.of(FrameType.OK), ended::countDown);
      }
      case UPDATE, DRAIN, NAMESPACES, HAND_OVER, CANARIES, RELEASE, OK, ERROR, JSON, TEXT ->
          new ControlServer.Reply(
              Frame.of(FrameType.ERROR, "the agent does not answer " + request.type()));
    };
  }

  private Frame apply(Frame request) {
    Map<String, Object> object = JsonObject.parse(request.text(), "request").toMap();
    Path where = Path.of(String.valueOf(object.get("directory")));
    Duration confirmWithin =
        object.get("confirm_within_seconds") instanceof Number seconds
            ? Duration.ofSeconds(seconds.longValue())
            : Duration.ZERO;
    Policy policy = policyFiles.read(where);
    if (policy instanceof Policy.Bad bad) {
      return Frame.of(FrameType.ERROR, String.join("\n", bad.errors()));
    }
    Policy.Good good = (Policy.Good) policy;
    Applied applied =
        onMesh(
            () -> {
              watchInstead(where);
              errors = List.of();
              return change(good, confirmWithin);
            });
    Map<String, Object> result =
        Operations.result(applied, good, confirmWithin, proxyState(good.plan()));
    return Frame.of(FrameType.JSON, Json.line(result));
  }

  /** {@code not needed}, {@code ready}, or what became of it. */
  private String proxyState(Plan plan) {
    if (!plan.proxy().needed()) {
      return "not needed";
    }
    long deadline = System.nanoTime() + PROXY_LIMIT.toNanos();
    while (!proxy.ready() && System.nanoTime() < deadline) {
      try {
        Thread.sleep(5);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        break;
      }
    }
    return proxy.ready() ? "ready" : "not ready; see the agent's log";
  }

  /** The files that were applied last are the ones to follow. */
  private void watchInstead(Path where) throws IOException {
    if (where.equals(directory)) {
      return;
    }
    DirectoryWatcher old = watcher;
    watcher = watch(where);
    directory = where;
    log.info("following the files in " + where + " from now on");
    if (old != null) {
      old.close();
    }
  }

  private void down() {
    proxy.stop(DRAIN);
    closeEvents();
    flows.ifPresent(FlowRecorder::close);
    inForce = Optional.empty();
    names = Optional.empty();
    node.down();
    isDown = true;
    log.info("nothing is in force any more");
  }

  // -- how are you --------------------------------------------------------------------------------

  private Map<String, Object> status() {
    Map<String, Object> status = new LinkedHashMap<>();
    status.put("pid", ProcessHandle.current().pid());
    status.put("directory", directory.toString());
    status.put("generation", inForce.map(Current::generation).orElse(0L));
    status.put("policy_errors", errors);
    status.put("policy_errors_total", policyErrors.get());
    status.put("proxy_needed", inForce.filter(c -> c.plan().proxy().needed()).isPresent());
    status.put("proxy_pid", proxy.process().map(ProcessId::pid));
    status.put("proxy_ready", proxy.ready());
    status.put("proxy_restarts", proxy.restarts());
    status.put("audit", audits.json());
    status.put("problems", problems());
    return status;
  }

  private List<String> problems() {
    List<String> problems = new ArrayList<>();
    if (inForce.isEmpty()) {
      problems.add("nothing is in force");
    }
    if (inForce.filter(c -> c.plan().proxy().needed()).isPresent() && !proxy.ready()) {
      problems.add("the proxy is not ready: services that lead to it are refused");
    }
    if (!errors.isEmpty()) {
      problems.add("the policy files are refused: " + errors.getFirst());
    }
    audits.unrepaired().forEach(drift -> problems.add("drift: " + drift.what()));
    return problems;
  }

  private String metrics() {
    Exposition all = new Exposition().add(Exposition.text(ownFamilies()));
    try {
      names.ifPresent(
          known -> all.add(NodeHealth.kernelMetrics(node, known, settings.telemetry().series())));
    } catch (NodeException | BpfException e) {
      log.error("cannot read the kernel's counters: " + e.getMessage());
    }
    if (proxy.ready()) {
      proxy.ask(FrameType.METRICS).map(Frame::text).ifPresent(all::add);
    }
    return all.text();
  }

  private List<MetricFamilySamples> ownFamilies() {
    Optional<Current> current = inForce;
    List<MetricFamilySamples> families = new ArrayList<>(audits.families());
    families.addAll(
        List.of(
            gauge(
                "weir_generation",
                "Number of the generation in force, 0 for none.",
                current.map(Current::generation).orElse(0L)),
            gauge(
                "weir_unconfirmed_seconds",
                "Seconds after which the generation before is in force again; 0 when confirmed.",
                current.flatMap(Current::unconfirmed).map(Duration::toSeconds).orElse(0L)),
            counter(
                "weir_policy_changes", "Generations put in force by this agent.", changes.get()),
            counter(
                "weir_policy_errors",
                "Times that policy files were refused while the generation before stayed in force.",
                policyErrors.get()),
            gauge(
                "weir_proxy_up",
                "Whether the proxy is there and has its plan.",
                proxy.ready() ? 1 : 0),
            counter(
                "weir_proxy_restarts", "Times the proxy had to be started anew.", proxy.restarts()),
            counter(
                "weir_flow_log_lines",
                "Lines written to the flow log by this agent.",
                flows.map(FlowRecorder::lines).orElse(0L)),
            counter(
                "weir_flow_log_lost",
                "Lines of the flow log that could not be written.",
                flows.map(FlowRecorder::lost).orElse(0L))));
    return families;
  }

  static MetricFamilySamples gauge(String name, String help, long value) {
    return new MetricFamilySamples(
        name, Collector.Type.GAUGE, help, List.of(new Sample(name, List.of(), List.of(), value)));
  }

  static MetricFamilySamples counter(String name, String help, long value) {
    return new MetricFamilySamples(
        name,
        Collector.Type.COUNTER,
        help,
        List.of(new Sample(name + "_total", List.of(), List.of(), value)));
  }

  /** An event that cannot be told must not end the telling of all others. */
  private void event(Event event) {
    flows.ifPresent(log -> log.event(event));
    if (event.reason() == Reason.NO_PROXY) {
      listenSoon();
    }
    try {
      names
          .flatMap(known -> refusals.line(event, known))
          .ifPresent(line -> log.info(line.text(), line.fields()));
    } catch (RuntimeException e) {
      log.error("cannot tell of an event of the kernel: " + e.getMessage());
    }
  }

  // -- the end ------------------------------------------------------------------------------------

  /** Returns when somebody has told the agent to take everything down. */
  public void await() throws InterruptedException {
    ended.await();
  }

  /**
   * Ends the agent. What is in force stays so, and the proxy goes on serving, unless the settings
   * say otherwise.
   */
  @Override
  public void close() {
    if (settings.downOnExit() && inForce.isPresent()) {
      onMesh(
          () -> {
            down();
            return true;
          });
    }
    leave();
  }

  private void leave() {
    mesh.shutdownNow();
    try {
      if (!mesh.awaitTermination(5, TimeUnit.SECONDS)) {
        log.error("a change did not come to its end");
      }
      if (control != null) {
        control.close();
      }
      if (watcher != null) {
        watcher.close();
      }
      if (isDown || nothingPinned()) {
        RunFiles.remove(settings.places().runDir());
      }
      lock.close();
    } catch (IOException e) {
      log.error("while ending: " + e.getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    closeEvents();
    flows.ifPresent(FlowRecorder::close);
    scrape.close();
    node.close();
    ended.countDown();
  }

  /** After a start that failed, say: then there is nothing that the files would be for. */
  private boolean nothingPinned() {
    return inForce.isEmpty() && !Files.exists(settings.places().pinDir());
  }

  private void closeEvents() {
    if (events != null) {
      events.close();
      events = null;
    }
  }

  /** Tells systemd, if it started us, that policy is in force (sd_notify(3)). */
  private void notifyManager() {
    if (System.getenv("NOTIFY_SOCKET") == null) {
      return;
    }
    try {
      int status =
          new ProcessBuilder("systemd-notify", "--ready", "--pid=parent")
              .inheritIO()
              .start()
              .waitFor();
      if (status != 0) {
        log.error("systemd-notify ended with status " + status);
      }
    } catch (IOException e) {
      log.error("cannot run systemd-notify: " + e.getMessage());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  // -- the one thread -----------------------------------------------------------------------------

  private <T> T onMesh(Callable<T> task) {
    try {
      return mesh.submit(task).get(2, TimeUnit.MINUTES);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof RuntimeException ours) {
        throw ours;
      }
      Throwable cause = e.getCause() == null ? e : e.getCause();
      throw new NodeException(String.valueOf(cause.getMessage()), cause);
    } catch (TimeoutException e) {
      throw new NodeException("the agent is busy for more than two minutes; see its log", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new NodeException("interrupted", e);
    }
  }

  private void later(Duration delay, Runnable task) {
    if (!mesh.isShutdown()) {
      var _ = mesh.schedule(() -> guarded(task), delay.toMillis(), TimeUnit.MILLISECONDS);
    }
  }

  /** A mistake in one change must not end the thread that makes the next one. */
  private void guarded(Runnable task) {
    try {
      task.run();
    } catch (NodeException | BpfException e) {
      log.error(String.valueOf(e.getMessage()));
    } catch (RuntimeException e) {
      log.error("unexpected: " + e);
    }
  }
}
