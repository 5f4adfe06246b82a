// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.proxy.control.Commands;
import dev.weir.proxy.hbone.Tunnels;
import dev.weir.proxy.http.BodyAllowance;
import dev.weir.proxy.http.Worker;
import dev.weir.proxy.identity.IdentityStore;
import dev.weir.proxy.listen.Capacity;
import dev.weir.proxy.listen.Listeners;
import dev.weir.proxy.listen.MemoryLimit;
import dev.weir.proxy.listen.OriginSource;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.loop.Open;
import dev.weir.proxy.loop.Pressure;
import dev.weir.proxy.observe.AccessLog;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.observe.Exposition;
import dev.weir.proxy.observe.JsonText;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.observe.LoopMetrics;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.outbound.Current;
import dev.weir.proxy.outbound.Generation;
import dev.weir.proxy.outbound.SessionKeyFile;
import dev.weir.proxy.outbound.UpdateRefusedException;
import dev.weir.proxy.resilience.ClusterHealth;
import dev.weir.proxy.resilience.HealthChecks;
import dev.weir.proxy.resilience.Journal;
import dev.weir.proxy.resilience.Rollbacks;
import dev.weir.proxy.tls.Certificates;
import dev.weir.proxy.tls.Origination;
import dev.weir.proxy.upstream.Endpoint;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.internal.PlatformDependent;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;

/** All of the proxy but its process: event loops, listeners, the generation in force. */
public final class Proxy implements Commands, AutoCloseable {

  /** After this, nobody can still begin a handshake with a replaced certificate. */
  private static final long CERTIFICATE_GRACE_SECONDS = 30;

  private static final long PAGE = 4096;

  /** Routes in the status; of more, only the number is told. */
  private static final int ROUTES_TOLD = 500;

  private final MultiThreadIoEventLoopGroup group;
  private final List<Worker> workers = new ArrayList<>();
  private final Listeners listeners;
  private final Capacity capacity = new Capacity();
  private final HeapGrowth heap = new HeapGrowth();
  private final Current current = new Current();
  private final AtomicBoolean draining = new AtomicBoolean();
  private final CompletableFuture<Void> drained = new CompletableFuture<>();
  private final Log log;
  private final AccessLog access;
  private final SessionKeyFile sessionKeys;
  private final Journal journal;
  private final Rollbacks rollbacks;
  private final HealthChecks healthChecks;
  private final LongSupplier clock;
  private final IdentityStore identities;
  private final Tunnels tunnels;
  private final long started = System.nanoTime();

  /**
   * Starts the event loops; nothing listens yet.
   *
   * @param threads event loops, at least 1
   * @param origins asked about every accepted connection
   * @param clock monotonic nanoseconds
   */
  public Proxy(int threads, OriginSource origins, LongSupplier clock, Log log) {
    this(
        threads,
        origins,
        clock,
        log,
        new AccessLog(OutputStream.nullOutputStream()),
        new SessionKeyFile(Optional.empty()));
  }

  /**
   * One whose sessions outlive it.
   *
   * @param access closed with the proxy
   * @param sessionKeys asked when a route has sessions
   */
  public Proxy(
      int threads,
      OriginSource origins,
      LongSupplier clock,
      Log log,
      AccessLog access,
      SessionKeyFile sessionKeys) {
    this(threads, origins, clock, log, access, sessionKeys, IdentityStore.none(log));
  }

  /**
   * One that can make and take tunnels.
   *
   * @param identities read when a plan has tunnels; closed with the proxy
   */
  public Proxy(
      int threads,
      OriginSource origins,
      LongSupplier clock,
      Log log,
      AccessLog access,
      SessionKeyFile sessionKeys,
      IdentityStore identities) {
    this(
        threads,
        origins,
        clock,
        log,
        access,
        sessionKeys,
        identities,
        Optional.empty(),
        directMemory(),
        Optional.empty());
  }

  /**
   * One that remembers which canaries were rolled back, and knows what memory there is.
   *
   * @param rollbacks where that is kept; empty to keep it in memory only
   * @param pressure when to turn requests and connections away
   * @param memoryLimit near which no new connection is taken
   */
  public Proxy(
      int threads,
      OriginSource origins,
      LongSupplier clock,
      Log log,
      AccessLog access,
      SessionKeyFile sessionKeys,
      IdentityStore identities,
      Optional<Path> rollbacks,
      Pressure pressure,
      Optional<MemoryLimit> memoryLimit) {
    this.access = access;
    this.log = log;
    this.identities = identities;
    this.sessionKeys = sessionKeys;
    this.journal = new Journal(log);
    this.rollbacks = new Rollbacks(rollbacks, log, journal);
    this.clock = clock;
    this.group = new MultiThreadIoEventLoopGroup(threads, EpollIoHandler.newFactory());
    for (int i = 0; i < threads; i++) {
      Loop loop = new Loop(group.next(), i, clock);
      LoopMetrics metrics = new LoopMetrics();
      workers.add(
          new Worker(
              loop,
              metrics,
              log,
              current,
              draining,
              new BodyAllowance(),
              access.of(loop, metrics, threads),
              pressure));
    }
    this.tunnels = new Tunnels(workers, identities);
    this.healthChecks = new HealthChecks(workers.stream().map(Worker::loop).toList(), journal);
    this.listeners = new Listeners(workers, origins, tunnels, log, capacity);
    memoryLimit.ifPresent(
        limit -> {
          log.info("the memory limit is " + (limit.bytes() >> 20) + " MiB");
          var _ =
              group.scheduleWithFixedDelay(
                  () -> lookAtMemory(limit), 100, 100, TimeUnit.MILLISECONDS);
        });
    var _ = group.scheduleWithFixedDelay(this::keepHeapSmall, 5, 5, TimeUnit.SECONDS);
  }

  private void keepHeapSmall() {
    if (heap.isDue(Runtime.getRuntime().totalMemory())) {
      System.gc();
      heap.collected(Runtime.getRuntime().totalMemory());
    }
  }

  private void lookAtMemory(MemoryLimit limit) {
    try {
      capacity.shortOfMemory(limit.taken() > limit.bytes() - limit.bytes() / 8);
    } catch (IOException | NumberFormatException e) {
      capacity.shortOfMemory(false);
    }
  }

  /** On the memory that buffers are of. */
  public static Pressure directMemory() {
    return new Pressure(PlatformDependent::usedDirectMemory, PlatformDependent.maxDirectMemory());
  }

  @Override
  public void update(ProxyUpdate update) throws UpdateRefusedException {
    if (draining.get()) {
      throw new UpdateRefusedException("the proxy is draining; start another one");
    }
    // Not asked before there is TLS: a proxy without TLS need not load the library.
    boolean tls =
        !update.keyPairs().isEmpty()
            || update.plan().proxy().hbone().isPresent()
            || update.plan().proxy().clusters().stream().anyMatch(c -> c.tls().isPresent());
    if (tls && !Certificates.boringSsl()) {
      log.warn("BoringSSL is not available; TLS is the JDK's, at about twice the processor time");
    }
    Optional<Generation> previous = current.find();
    IdentityStore.Planned planned = identities.read(update);
    if (update.plan().proxy().hbone().isPresent()) {
      identities.start();
    }
    Generation next =
        Generation.compile(
            update,
            previous,
            workers.size(),
            sessionKeys,
            journal,
            rollbacks,
            clock.getAsLong(),
            tunnels);
    Set<BindAddress> binds = next.binds();
    try {
      listeners.prepare(binds);
    } catch (UpdateRefusedException e) {
      next.discard(previous);
      throw e;
    }
    identities.use(planned);
    current.set(next);
    next.policies().inForce();
    healthChecks.follow(next.checks());
    listeners.accept();
    listeners.retain(binds);
    listeners.settleInherited(outboundBinds());
    for (Worker worker : workers) {
      // Connections that no longer lead here end at once where they are idle.
      worker.loop().executor().execute(worker.loop()::look);
    }
    if (next.hbone().isEmpty()) {
      identities.stop();
    }
    previous.ifPresent(old -> retire(old, next));
    log.info("generation " + update.generation() + " is in force, listening at " + binds);
  }

  private void retire(Generation old, Generation next) {
    List<Endpoint> retired = old.retire(next);
    for (Worker worker : workers) {
      worker
          .loop()
          .executor()
          .execute(() -> retired.forEach(endpoint -> endpoint.closeIdle(worker.loop())));
    }
    // Only these wait, not the generation: the heap has no room for a third large one.
    List<Certificates> replaced = old.certificatesNotIn(next);
    List<Origination> notDialled = old.originationsNotIn(next);
    if (!replaced.isEmpty() || !notDialled.isEmpty()) {
      var _ =
          group.schedule(
              () -> {
                replaced.forEach(Certificates::release);
                notDialled.forEach(Origination::release);
              },
              CERTIFICATE_GRACE_SECONDS,
              TimeUnit.SECONDS);
    }
  }

  /** Asks every loop, on its own thread. */
  private <T> List<T> ask(Function<Worker, T> question) {
    List<CompletableFuture<T>> answers =
        workers.stream()
            .map(
                worker ->
                    CompletableFuture.supplyAsync(
                        () -> question.apply(worker), worker.loop().executor()))
            .toList();
    List<T> all = new ArrayList<>();
    for (CompletableFuture<T> answer : answers) {
      try {
        all.add(answer.get(10, TimeUnit.SECONDS));
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException("interrupted", e);
      } catch (ExecutionException | TimeoutException e) {
        throw new IllegalStateException("an event loop does not answer", e);
      }
    }
    return all;
  }

  private record LoopState(
      LoopMetrics.Copy metrics, Map<String, int[]> pools, Map<Open, Integer> open, int tunnels) {
    long connections() {
      return metrics.counted(Counter.ACCEPTED) - metrics.counted(Counter.CLOSED);
    }
  }

  private List<LoopState> states() {
    List<Endpoint> endpoints = current.find().map(Generation::endpoints).orElse(List.of());
    return ask(
        worker -> {
          Map<String, int[]> pools = new TreeMap<>();
          for (Endpoint endpoint : endpoints) {
            pools.merge(
                endpoint.toString(),
                new int[] {endpoint.open(worker.loop()), endpoint.idle(worker.loop())},
                (a, b) -> new int[] {a[0] + b[0], a[1] + b[1]});
          }
          return new LoopState(
              worker.metrics().copy(), pools, worker.loop().open(), tunnels.open(worker.loop()));
        });
  }

  @Override
  public String metrics() {
    List<LoopState> states = states();
    Map<String, Number> gauges = new TreeMap<>();
    gauges.put("weir_proxy_generation", current.find().map(Generation::number).orElse(0L));
    gauges.put(
        "weir_proxy_connections_active", states.stream().mapToLong(LoopState::connections).sum());
    gauges.put("weir_proxy_resident_memory_bytes", residentBytes());
    gauges.put("weir_proxy_heap_used_bytes", heapUsed());
    gauges.put("weir_proxy_direct_memory_used_bytes", PlatformDependent.usedDirectMemory());
    for (IdentityStore.State state : identities.states()) {
      gauges.put(
          "weir_certificate_expiry_seconds{principal=\"" + state.principal() + "\"}",
          state.secondsLeft());
    }
    gauges.put("weir_proxy_tunnels_open", states.stream().mapToInt(LoopState::tunnels).sum());
    gauges.put("weir_proxy_uptime_seconds", (System.nanoTime() - started) / 1_000_000_000);
    gauges.put(
        "weir_proxy_endpoints_ejected", ejected().values().stream().mapToInt(List::size).sum());
    gauges.put("weir_proxy_endpoints_ill", ill().values().stream().mapToInt(List::size).sum());
    return Exposition.text(states.stream().map(LoopState::metrics).toList(), gauges)
        + journal.exposition()
        + canaryGauge();
  }

  private Map<Rollbacks.Key, Boolean> trials() {
    return current.find().map(generation -> generation.policies().trials()).orElse(Map.of());
  }

  /** As many rows as policies name canaries. */
  private String canaryGauge() {
    StringBuilder text = new StringBuilder(256);
    text.append("# HELP weir_proxy_canary_rolled_back Whether a canary's weight is taken away.\n");
    text.append("# TYPE weir_proxy_canary_rolled_back gauge\n");
    trials()
        .forEach(
            (key, rolledBack) ->
                text.append("weir_proxy_canary_rolled_back{policy=\"")
                    .append(key.policy())
                    .append("\",route=\"")
                    .append(key.route())
                    .append("\",rule=\"")
                    .append(key.rule())
                    .append("\",backend=\"")
                    .append(key.backend())
                    .append("\"} ")
                    .append(rolledBack ? 1 : 0)
                    .append('\n'));
    return text.toString();
  }

  @Override
  public String canaries() {
    JsonText json = new JsonText().object();
    canaries(json);
    return json.endObject().toString();
  }

  private void canaries(JsonText json) {
    Map<Rollbacks.Key, Rollbacks.Rollback> known = rollbacks.all();
    json.array("canaries");
    trials()
        .forEach(
            (key, rolledBack) -> {
              json.object()
                  .member("policy", key.policy())
                  .member("route", key.route())
                  .member("rule", key.rule())
                  .member("backend", key.backend())
                  .member("rolled_back", rolledBack);
              Rollbacks.Rollback rollback = known.get(key);
              if (rolledBack && rollback != null) {
                json.member("at", rollback.at()).member("reason", rollback.reason());
              }
              json.endObject();
            });
    json.endArray();
  }

  @Override
  public int release(String route, String backend) {
    return current
        .find()
        .map(generation -> generation.policies().release(route, backend, clock.getAsLong()).size())
        .orElse(0);
  }

  /** The endpoints that get no requests for a while, by cluster. */
  private Map<String, List<String>> ejected() {
    return endpoints(ClusterHealth::ejected);
  }

  /** The endpoints that health checks took out, by cluster. */
  private Map<String, List<String>> ill() {
    return endpoints(ClusterHealth::ill);
  }

  private Map<String, List<String>> endpoints(Function<ClusterHealth, List<String>> which) {
    Map<String, List<String>> found = new TreeMap<>();
    current
        .find()
        .map(Generation::healths)
        .orElse(Map.of())
        .forEach((cluster, health) -> found.put(cluster, which.apply(health)));
    found.values().removeIf(List::isEmpty);
    return found;
  }

  @Override
  public String status() {
    List<LoopState> states = states();
    Map<String, int[]> pools = new TreeMap<>();
    Map<Open, Integer> open = new HashMap<>();
    Map<String, Long> requests = new HashMap<>();
    for (LoopState state : states) {
      state.pools.forEach(
          (endpoint, counts) ->
              pools.merge(endpoint, counts, (a, b) -> new int[] {a[0] + b[0], a[1] + b[1]}));
      state.open.forEach((kind, count) -> open.merge(kind, count, Integer::sum));
      state.metrics.requestsByRoute().forEach((route, n) -> requests.merge(route, n, Long::sum));
    }
    JsonText json =
        new JsonText()
            .object()
            .member("generation", current.find().map(Generation::number).orElse(0L))
            .member("draining", draining.get());
    json.array("listeners");
    listeners.binds().forEach(bind -> json.element(bind.toString()));
    json.endArray().array("namespaces");
    namespaces().forEach(json::unsigned);
    json.endArray().member("connections", states.stream().mapToLong(LoopState::connections).sum());
    StatusText.connections(json, open);
    json.array("pools");
    pools.forEach(
        (endpoint, counts) ->
            json.object()
                .member("endpoint", endpoint)
                .member("open", counts[0])
                .member("idle", counts[1])
                .endObject());
    json.endArray();
    StatusText.routes(
        json, current.find().map(generation -> generation.routes(ROUTES_TOLD)), requests);
    StatusText.endpoints(json, "ejected", ejected());
    StatusText.endpoints(json, "ill", ill());
    json.member("tunnels", states.stream().mapToInt(LoopState::tunnels).sum());
    StatusText.identities(json, identities.states());
    canaries(json);
    return json.member("uptime_seconds", (System.nanoTime() - started) / 1_000_000_000)
        .member("resident_bytes", residentBytes())
        .member("heap_used_bytes", heapUsed())
        .member("direct_memory_used_bytes", PlatformDependent.usedDirectMemory())
        .endObject()
        .toString();
  }

  private static long heapUsed() {
    Runtime runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }

  /** The second field of /proc/self/statm (proc_pid_statm(5)), 0 when it cannot be read. */
  private static long residentBytes() {
    try {
      String statm = Files.readString(Path.of("/proc/self/statm"));
      return Long.parseLong(statm.split(" ", -1)[1]) * PAGE;
    } catch (IOException e) {
      return 0;
    }
  }

  @Override
  public String namespaces(Set<Long> cookies) {
    listeners.retain(cookies, outboundBinds());
    JsonText json = new JsonText().object().array("listening");
    namespaces().forEach(json::unsigned);
    return json.endArray().endObject().toString();
  }

  private List<Long> namespaces() {
    return listeners.namespaces().stream().sorted(Long::compareUnsigned).toList();
  }

  @Override
  public void adopt(int descriptor) {
    if (current.find().isEmpty() && !draining.get()) {
      listeners.inherit(descriptor);
    } else {
      listeners.adopt(descriptor, draining.get() ? Set.of() : outboundBinds());
    }
  }

  @Override
  public void handOver(Path path) throws IOException {
    if (draining.get()) {
      throw new IOException("it is draining: nothing listens any more");
    }
    log.info("handed " + listeners.handOver(path) + " listeners over to " + path);
  }

  /** Loopback alone: what listens in a pod is for what the kernel leads there. */
  private Set<BindAddress> outboundBinds() {
    return current
        .find()
        .map(
            generation ->
                generation.binds().stream()
                    .filter(generation::isOutbound)
                    .collect(Collectors.toSet()))
        .orElse(Set.of());
  }

  @Override
  public void drain(long millis) {
    if (!draining.compareAndSet(false, true)) {
      return;
    }
    log.info("draining, for at most " + millis + " ms");
    listeners.retain(Set.of());
    listeners.retain(Set.of(), Set.of());
    long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(Math.max(0, millis));
    lookIfDrained(deadline);
  }

  private void lookIfDrained(long deadline) {
    // Not on a thread that this would have to wait for: the loops are asked without blocking.
    List<CompletableFuture<Long>> open =
        workers.stream()
            .map(
                worker ->
                    CompletableFuture.supplyAsync(
                        () ->
                            worker.metrics().counted(Counter.ACCEPTED)
                                - worker.metrics().counted(Counter.CLOSED),
                        worker.loop().executor()))
            .toList();
    var _ =
        CompletableFuture.allOf(open.toArray(CompletableFuture[]::new))
            .thenRun(
                () -> {
                  long left = open.stream().mapToLong(CompletableFuture::join).sum();
                  if (left == 0 || System.nanoTime() >= deadline) {
                    log.info("drained; connections cut off: " + left);
                    drained.complete(null);
                  } else {
                    var _ =
                        group.schedule(() -> lookIfDrained(deadline), 50, TimeUnit.MILLISECONDS);
                  }
                });
  }

  /** Done when a drain is. */
  public CompletableFuture<Void> drained() {
    return drained;
  }

  /** Ends the event loops, whatever is in flight. */
  @Override
  public void close() {
    listeners.retain(Set.of());
    listeners.retain(Set.of(), Set.of());
    group.shutdownGracefully(0, 2, TimeUnit.SECONDS).awaitUninterruptibly();
    access.close();
    identities.close();
  }
}
