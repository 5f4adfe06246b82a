// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.identity;

import dev.weir.policy.identity.NotAnSvidException;
import dev.weir.policy.identity.PemCertificates;
import dev.weir.policy.identity.SvidRules;
import dev.weir.policy.plan.Hbone;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.UpdateRefusedException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.net.ssl.X509TrustManager;
import org.jspecify.annotations.Nullable;

/**
 * The certificates and keys of this node's service accounts, and the roots that are believed: what
 * {@code weir ca}, or somebody in its place, has written ({@code docs/protocols.md}, Identities).
 * Files that change are read anew within a second, the bundle first. Handshakes begin with what is
 * there then; a connection that stands stays with what it began with.
 *
 * <p>Reading is done by a thread of its own that runs only while a plan wants identities. What is
 * asked for may be asked on any thread.
 */
public final class IdentityStore implements AutoCloseable {

  private static final long POLL_MILLIS = 1_000;

  /** Handshakes that begin with a replaced certificate are over by then. */
  private static final long GRACE_SECONDS = 30;

  /** A clock that was set by more than this is told. */
  private static final Duration JUMP = Duration.ofSeconds(5);

  private static final long MAX_FILE = 1 << 20;

  private final Optional<Path> directory;
  private final InstantSource clock;
  private final Log log;
  private final Map<Path, Kept> kept = new TreeMap<>();
  private final Map<String, String> told = new TreeMap<>();
  private volatile List<X509Certificate> anchors = List.of();
  private List<X509Certificate> bundle = List.of();
  private Planned planned = new Planned(Map.of(), List.of());
  private volatile Map<String, Svid> svids = Map.of();
  private @Nullable ScheduledExecutorService reader;
  private String bundleTold = "";
  private @Nullable Stamp bundleStamp;
  private long clockNanos;
  private @Nullable Instant clockAt;

  /** What tells that a file is another one. */
  private record Stamp(Object inode, long size, long modified) {}

  /**
   * What a plan brings besides the files.
   *
   * @param svids by principal, each with a digest of what it was read from
   * @param anchors whom to believe
   */
  public record Planned(Map<String, Brought> svids, List<X509Certificate> anchors) {}

  /** A certificate that came with a plan. */
  record Brought(String digest, Svid svid) {}

  /** What a file was last time; without an SVID when it could not be read. */
  private record Kept(Stamp stamp, Optional<Svid> svid) {}

  /**
   * How one identity is.
   *
   * @param principal {@code TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT}
   * @param ends when its certificate ends
   * @param secondsLeft until then, negative after it
   * @param problem for people; empty when all is well
   */
  public record State(String principal, Instant ends, long secondsLeft, String problem) {}

  /**
   * A store that has read nothing yet.
   *
   * @param directory of the files; empty when there are none
   * @param clock the wall's: certificates are good by it
   */
  public IdentityStore(Optional<Path> directory, InstantSource clock, Log log) {
    this.directory = directory;
    this.clock = clock;
    this.log = log;
  }

  /** One without identities, that believes nobody. */
  public static IdentityStore none(Log log) {
    return new IdentityStore(Optional.empty(), InstantSource.system(), log);
  }

  /**
   * Reads what an update brings; nothing of it counts before {@link #use}.
   *
   * @throws UpdateRefusedException when it cannot be used; never quotes a key
   */
  public synchronized Planned read(ProxyUpdate update) throws UpdateRefusedException {
    Optional<Hbone> hbone = update.plan().proxy().hbone();
    Map<String, Brought> read = new TreeMap<>();
    List<X509Certificate> roots = new ArrayList<>();
    Map<String, Brought> known = new HashMap<>();
    planned.svids.values().forEach(brought -> known.put(brought.digest, brought));
    for (TlsKeyPair pair : update.keyPairs()) {
      if (hbone.isPresent() && hbone.get().identities().contains(pair.name())) {
        Brought brought = read(pair, known);
        read.put(brought.svid.principal(), brought);
      }
    }
    for (String pem : hbone.map(Hbone::authorities).orElse(List.of())) {
      try {
        roots.addAll(PemCertificates.read(pem));
      } catch (CertificateException e) {
        throw new UpdateRefusedException("Mesh.spec.hbone.caCertificateRefs: " + e.getMessage());
      }
    }
    return new Planned(Map.copyOf(read), List.copyOf(roots));
  }

  /** What has not changed is not read again. */
  private Brought read(TlsKeyPair pair, Map<String, Brought> known) throws UpdateRefusedException {
    byte[] bytes = (pair.chainPem() + "\n" + pair.keyPem()).getBytes(StandardCharsets.US_ASCII);
    try {
      String digest = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
      Brought before = known.get(digest);
      return before != null ? before : new Brought(digest, Svid.read(bytes, new Believed()));
    } catch (CertificateException e) {
      throw new UpdateRefusedException("Secret " + pair.name() + ": " + e.getMessage());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has SHA-256", e);
    } finally {
      Arrays.fill(bytes, (byte) 0);
    }
  }

  /** From now on what a plan brought counts, before the files and beside them. */
  public synchronized void use(Planned now) {
    planned = now;
    believe();
    settle();
  }

  private void believe() {
    anchors = Stream.concat(bundle.stream(), planned.anchors.stream()).distinct().toList();
  }

  /** Whatever is shown from now on, and lets go of what is not any more. */
  private void settle() {
    Map<String, Svid> next = new TreeMap<>();
    kept.values().forEach(k -> k.svid.ifPresent(svid -> next.put(svid.principal(), svid)));
    planned.svids.forEach((principal, brought) -> next.put(principal, brought.svid));
    Collection<Svid> gone = new ArrayList<>(svids.values());
    gone.removeAll(next.values());
    svids = Map.copyOf(next);
    letGo(gone);
  }

  /** Reads what is there now, and whatever changes from now on. */
  public synchronized void start() {
    if (reader != null) {
      return;
    }
    refresh();
    ScheduledExecutorService made =
        Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("identities").factory());
    reader = made;
    var _ =
        made.scheduleWithFixedDelay(this::refresh, POLL_MILLIS, POLL_MILLIS, TimeUnit.MILLISECONDS);
  }

  /** No plan wants identities any more: keys are let go of. */
  public synchronized void stop() {
    ScheduledExecutorService running = reader;
    reader = null;
    if (running != null) {
      running.shutdownNow();
    }
    svids.values().forEach(Svid::release);
    svids = Map.of();
    planned = new Planned(Map.of(), List.of());
    bundle = List.of();
    anchors = List.of();
    kept.clear();
    told.clear();
    bundleStamp = null;
  }

  @Override
  public void close() {
    stop();
  }

  /** What a service account shows now. */
  public Optional<Svid> svid(String principal) {
    return Optional.ofNullable(svids.get(principal));
  }

  /** Who is believed now: the same list as long as that has not changed. */
  public List<X509Certificate> roots() {
    return anchors;
  }

  /** The time by which certificates are good. */
  public Instant now() {
    return clock.instant();
  }

  /**
   * Who a peer has proved to be.
   *
   * @param chain it showed, leaf first
   * @return {@code TRUSTDOMAIN/ns/NAMESPACE/sa/ACCOUNT}
   * @throws CertificateException when it proves nobody, with the reason
   */
  public String prove(List<X509Certificate> chain) throws CertificateException {
    try {
      return withoutScheme(SvidRules.check(chain, anchors, clock.instant()));
    } catch (NotAnSvidException e) {
      String who = chain.isEmpty() ? "nobody" : String.join(", ", SvidRules.uris(chain.getFirst()));
      throw new CertificateException(who + ": " + e.getMessage());
    }
  }

  /**
   * Who a leaf is of that was believed before.
   *
   * @throws CertificateException when it is none
   */
  public static String principal(X509Certificate leaf) throws CertificateException {
    return withoutScheme(SvidRules.idOf(leaf));
  }

  private static String withoutScheme(String id) {
    return id.substring(SvidRules.SCHEME.length());
  }

  /** All identities, by name. */
  public List<State> states() {
    Instant at = clock.instant();
    return svids.values().stream()
        .map(
            svid ->
                new State(
                    svid.principal(),
                    svid.ends(),
                    Duration.between(at, svid.ends()).toSeconds(),
                    problem(svid, at)))
        .sorted((a, b) -> a.principal().compareTo(b.principal()))
        .toList();
  }

  private static String problem(Svid svid, Instant at) {
    try {
      svid.requireInTime(at);
    } catch (CertificateException e) {
      return String.valueOf(e.getMessage());
    }
    return svid.nearItsEnd(at)
        ? svid.principal()
            + ": the certificate ends at "
            + svid.ends()
            + " and was not renewed: run weir ca rotate, or see why its timer does not"
        : "";
  }

  /** Looks whether files have changed. */
  synchronized void refresh() {
    if (directory.isEmpty()) {
      return;
    }
    try {
      lookAtClock();
      readBundle(directory.get().resolve("bundle.pem"));
      readSvids(directory.get().resolve("ns"));
      tellProblems();
    } catch (RuntimeException e) {
      // The next look may find what this one did not; what was read before stays.
      log.warn("identities cannot be read: " + e);
    }
  }

  private void lookAtClock() {
    Instant at = clock.instant();
    long nanos = System.nanoTime();
    Instant before = clockAt;
    if (before != null) {
      Duration jump = Duration.between(before, at).minusNanos(nanos - clockNanos);
      if (jump.abs().compareTo(JUMP) > 0) {
        log.warn(
            "this node's clock was set by "
                + jump.toSeconds()
                + " s, to "
                + at
                + "; certificates are good by it");
      }
    }
    clockAt = at;
    clockNanos = nanos;
  }

  private void readBundle(Path file) {
    try {
      Stamp stamp = stamp(file);
      if (stamp.equals(bundleStamp)) {
        return;
      }
      List<X509Certificate> read = Pem.certificates(bytes(file));
      if (read.isEmpty()) {
        throw new CertificateException("there is no CERTIFICATE in it");
      }
      bundle = List.copyOf(read);
      believe();
      bundleStamp = stamp;
      bundleTold = "";
      log.info("believing " + read.size() + " root(s) of " + file);
    } catch (NoSuchFileException e) {
      bundle = List.of();
      believe();
      bundleStamp = null;
      if (!planned.anchors.isEmpty()) {
        return;
      }
      tellOfBundle("there is no " + file + ": no peer is believed; weir ca issue writes it");
    } catch (IOException | CertificateException e) {
      tellOfBundle(file + " cannot be read: " + e.getMessage() + "; what was read before counts");
    }
  }

  private void tellOfBundle(String message) {
    if (!bundleTold.equals(message)) {
      bundleTold = message;
      log.warn(message);
    }
  }

  private void readSvids(Path namespaces) {
    Map<Path, Kept> found = new TreeMap<>();
    for (Path file : files(namespaces)) {
      Kept before = kept.get(file);
      try {
        Stamp stamp = stamp(file);
        found.put(
            file,
            before != null && before.stamp.equals(stamp) ? before : read(file, stamp, before));
      } catch (NoSuchFileException e) {
        // It has just gone.
      } catch (IOException e) {
        log.warn(file + " cannot be read: " + e.getMessage());
        if (before != null) {
          found.put(file, before);
        }
      }
    }
    if (found.equals(kept)) {
      return;
    }
    kept.clear();
    kept.putAll(found);
    settle();
  }

  private Kept read(Path file, Stamp stamp, @Nullable Kept before) throws IOException {
    byte[] bytes = bytes(file);
    try {
      Svid svid = Svid.read(bytes, new Believed());
      String place = place(file);
      if (!svid.principal().endsWith(place)) {
        throw new CertificateException(
            "it is of " + svid.principal() + ", which belongs at another path than " + place);
      }
      log.info("read the certificate of " + svid.principal() + ", good until " + svid.ends());
      return new Kept(stamp, Optional.of(svid));
    } catch (CertificateException e) {
      // What was read before is as good as it was: a file that is half written is not its end.
      log.warn(file + " cannot be used: " + e.getMessage());
      return new Kept(stamp, before == null ? Optional.empty() : before.svid);
    } finally {
      Arrays.fill(bytes, (byte) 0);
    }
  }

  /** {@code /ns/NAMESPACE/sa/ACCOUNT} of the file {@code svid.pem} there. */
  private static String place(Path file) {
    int names = file.getNameCount();
    return "/" + file.subpath(names - 5, names - 1);
  }

  /** Those that nobody handed out since: handshakes that have begun hold contexts of their own. */
  private void letGo(Collection<Svid> gone) {
    ScheduledExecutorService running = reader;
    if (gone.isEmpty()) {
      return;
    }
    if (running == null) {
      gone.forEach(Svid::release);
    } else {
      var _ = running.schedule(() -> gone.forEach(Svid::release), GRACE_SECONDS, TimeUnit.SECONDS);
    }
  }

  private void tellProblems() {
    Map<String, String> problems = new TreeMap<>();
    for (State state : states()) {
      if (!state.problem.isEmpty()) {
        // Once for each certificate and kind of problem: what differs is only what the clock says.
        String kind = state.ends + (state.secondsLeft < 0 ? " over" : " near or early");
        problems.put(state.principal, kind);
        if (!kind.equals(told.get(state.principal))) {
          log.warn(state.problem);
        }
      }
    }
    told.clear();
    told.putAll(problems);
  }

  private static List<Path> files(Path namespaces) {
    List<Path> files = new ArrayList<>();
    for (Path namespace : list(namespaces)) {
      for (Path account : list(namespace.resolve("sa"))) {
        files.add(account.resolve("svid.pem"));
      }
    }
    return files;
  }

  private static List<Path> list(Path directory) {
    try (Stream<Path> entries = Files.list(directory)) {
      return entries.sorted().toList();
    } catch (NoSuchFileException | NotDirectoryException e) {
      return List.of();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Stamp stamp(Path file) throws IOException {
    BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
    return new Stamp(
        String.valueOf(attributes.fileKey()),
        attributes.size(),
        attributes.lastModifiedTime().to(TimeUnit.NANOSECONDS));
  }

  private static byte[] bytes(Path file) throws IOException {
    if (Files.size(file) > MAX_FILE) {
      throw new IOException("it is longer than " + MAX_FILE + " bytes");
    }
    return Files.readAllBytes(file);
  }

  /** Asks the bundle of the moment, so that roots come and go without a new context. */
  private final class Believed implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      String _ = prove(List.of(chain));
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType)
        throws CertificateException {
      String _ = prove(List.of(chain));
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      // None is named in the handshake: who connects has one certificate for this mesh anyway.
      return new X509Certificate[0];
    }
  }
}
