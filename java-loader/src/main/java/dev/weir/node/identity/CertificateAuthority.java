// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.DurableFile;
import dev.weir.node.kernel.NodeException;
import dev.weir.policy.identity.NotAnSvidException;
import dev.weir.policy.identity.SvidRules;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The authority of a trust domain: makes roots, issues and renews the leaves of this node, and
 * changes roots without a moment in which a good leaf is not believed.
 *
 * <p>Each method is one command: it takes the lock, does its work in steps of which each leaves the
 * old state or the new one, and what one that was killed has left over goes with the next.
 */
public final class CertificateAuthority {

  /**
   * How far the clocks of two nodes may differ: a certificate begins so much before it is made, a
   * root is believed so much longer than its last leaf lives, and a clock that stands back by less
   * is not called wrong.
   */
  public static final Duration CLOCK_SKEW = Duration.ofMinutes(5);

  /** How long a leaf lives if nobody says. */
  public static final Duration LEAF_LIFE = Duration.ofHours(24);

  /** How long a root lives if nobody says. */
  public static final Duration ROOT_LIFE = Duration.ofDays(3650);

  private static final Duration SHORTEST_LEAF = Duration.ofMinutes(5);
  private static final Duration LONGEST_LEAF = Duration.ofDays(30);

  private final AuthorityFiles files;
  private final IdentityDirectory identities;
  private final InstantSource clock;
  private final Disk disk;
  private final SecureRandom random = new SecureRandom();

  /**
   * How leaves are issued.
   *
   * @param life of each
   * @param anew also those that are not due
   * @param trustClock the clock is right now, and was wrong when it was ahead
   */
  public record Terms(Duration life, boolean anew, boolean trustClock) {
    /**
     * Checks the life.
     *
     * @throws NodeException when it is too short to be renewed in time, or not short
     */
    public Terms {
      if (life.compareTo(SHORTEST_LEAF) < 0 || life.compareTo(LONGEST_LEAF) > 0) {
        throw new NodeException(
            "a leaf's life of "
                + life.toMinutes()
                + " minutes is out of range; expected: 5m to 30d");
      }
    }
  }

  /**
   * The authority of a node.
   *
   * @param stateDir its keys are below it
   * @param identities where its leaves go
   * @param clock the wall clock
   */
  public CertificateAuthority(Path stateDir, IdentityDirectory identities, InstantSource clock) {
    this(stateDir, identities, clock, new Disk());
  }

  CertificateAuthority(
      Path stateDir, IdentityDirectory identities, InstantSource clock, Disk disk) {
    this.files = new AuthorityFiles(stateDir, disk, random);
    this.identities = identities;
    this.clock = clock;
    this.disk = disk;
  }

  /** Certificates know no less than a second. */
  private Instant now() {
    return clock.instant().truncatedTo(ChronoUnit.SECONDS);
  }

  /** Bouncy Castle's signed jars take half a second to begin with: only for who signs. */
  private Issuer issuer() {
    return new Issuer(random);
  }

  // ---- init

  /**
   * Makes the authority.
   *
   * @throws NodeException when there is one already, or the root that is given cannot be used
   */
  public Listing init(String trustDomain, RootSource source) {
    SpiffeId.requireTrustDomain(trustDomain);
    files.make();
    try (AuthorityLock _ = AuthorityLock.take(files.directory())) {
      files.requireOwnersAlone();
      Optional<Authority> there = files.read();
      if (there.isPresent()) {
        throw new NodeException(
            "there is an authority in "
                + files.directory()
                + " already, of trust domain "
                + there.get().trustDomain()
                + "; a new root: weir ca rotate; to begin anew, move that directory away");
      }
      Instant now = now();
      Root root = root(source, trustDomain, now, now);
      files.write(root);
      Authority made = new Authority(trustDomain, now, List.of(root));
      files.write(made);
      files.removeOthers(made);
      return listing(made, now);
    }
  }

  private Root root(RootSource source, String trustDomain, Instant now, Instant signsFrom) {
    Root root =
        switch (source) {
          case RootSource.Made made -> {
            KeyPair keys = Keys.generate(random);
            X509Certificate certificate =
                issuer().root(keys, trustDomain, now.minus(CLOCK_SKEW), now.plus(made.life()));
            yield new Root(
                Keys.id(keys.getPublic()),
                List.of(certificate),
                Optional.of(keys.getPrivate()),
                signsFrom,
                now);
          }
          case RootSource.Given given -> given(given, trustDomain, signsFrom, now);
        };
    // What it signs must be believed by whoever has its anchor: better asked now than at an issue.
    KeyPair probe = Keys.generate(random);
    SpiffeId nobody = new SpiffeId(trustDomain, "weir-probe", "nobody");
    X509Certificate leaf =
        issuer()
            .leaf(
                root.signer(),
                root.key().orElseThrow(),
                nobody,
                probe.getPublic(),
                now.minusSeconds(1),
                now.plusSeconds(60));
    try {
      String _ = SvidRules.check(chain(leaf, root), List.of(root.anchor()), now);
    } catch (NotAnSvidException e) {
      throw new NodeException(
          "this root cannot sign for " + trustDomain + ": " + e.getMessage(), e);
    }
    return root;
  }

  private Root given(RootSource.Given given, String trustDomain, Instant signsFrom, Instant now) {
    Path file = given.certificates();
    Pem pem = Pem.parse(file, bytes(file));
    Pem keyPem = given.key().equals(file) ? pem : Pem.parse(given.key(), bytes(given.key()));
    try {
      List<X509Certificate> chain = pem.certificates();
      if (chain.isEmpty()) {
        throw new NodeException(file + ": holds no certificate");
      }
      requireAuthority(file, chain, trustDomain, now);
      byte[] pkcs8 =
          keyPem
              .key()
              .orElseThrow(
                  () ->
                      new NodeException(
                          given.key() + ": holds no unencrypted PKCS#8 key; --key names its file"));
      PrivateKey key = Keys.read(pkcs8, chain.getFirst().getPublicKey(), random);
      return new Root(
          Keys.id(chain.getFirst().getPublicKey()), chain, Optional.of(key), signsFrom, now);
    } catch (GeneralSecurityException e) {
      throw new NodeException(
          given.key()
              + ": cannot be used with the first certificate of "
              + file
              + (e.getClass() == GeneralSecurityException.class
                  ? ": " + e.getMessage()
                  : " (" + e.getClass().getSimpleName() + "): is it the key of another?"));
    } finally {
      pem.forgetKey();
      keyPem.forgetKey();
    }
  }

  private static byte[] bytes(Path file) {
    return DurableFile.read(file)
        .orElseThrow(() -> new NodeException(file + ": no such file or directory"));
  }

  private static void requireAuthority(
      Path file, List<X509Certificate> chain, String trustDomain, Instant now) {
    for (X509Certificate certificate : chain) {
      String subject = certificate.getSubjectX500Principal().getName();
      boolean[] usage = certificate.getKeyUsage();
      if (certificate.getBasicConstraints() < 0 || usage != null && !usage[5]) {
        throw new NodeException(
            file + ": \"" + subject + "\" may not sign certificates (CA:TRUE, keyCertSign)");
      }
      if (certificate.getNotAfter().toInstant().isBefore(now)) {
        throw new NodeException(
            file + ": \"" + subject + "\" has ended at " + certificate.getNotAfter().toInstant());
      }
      if (certificate.getNotBefore().toInstant().isAfter(now)) {
        throw new NodeException(
            file
                + ": \""
                + subject
                + "\" begins at "
                + certificate.getNotBefore().toInstant()
                + ", and this node's clock says "
                + now
                + ": is the clock wrong?");
      }
    }
    X509Certificate anchor = chain.getLast();
    if (!anchor.getIssuerX500Principal().equals(anchor.getSubjectX500Principal())) {
      throw new NodeException(
          file
              + ": ends at \""
              + anchor.getSubjectX500Principal().getName()
              + "\", which another signed; append the certificates up to the self-signed one,"
              + " since peers are given that one to believe");
    }
    try {
      // X509-SVID 3.2: its own SPIFFE ID, if it has one, is the trust domain.
      List<String> own = SvidRules.uris(chain.getFirst());
      if (own.stream()
          .anyMatch(
              uri ->
                  uri.startsWith(SpiffeId.SCHEME) && !uri.equals(SpiffeId.SCHEME + trustDomain))) {
        throw new NodeException(
            file + ": is for " + String.join(", ", own) + ", not for trust domain " + trustDomain);
      }
    } catch (NotAnSvidException e) {
      throw new NodeException(file + ": " + e.getMessage(), e);
    }
  }

  private static List<X509Certificate> chain(X509Certificate leaf, Root root) {
    List<X509Certificate> chain = new ArrayList<>();
    chain.add(leaf);
    chain.addAll(root.intermediates());
    return chain;
  }

  // ---- what every command begins with

  /**
   * Of which trust domain it is.
   *
   * @throws NodeException when there is no authority
   */
  public String trustDomain() {
    files.requireThere();
    try (AuthorityLock _ = AuthorityLock.take(files.directory())) {
      return authority().trustDomain();
    }
  }

  /** As it stands, read under the lock. */
  private Authority authority() {
    files.requireOwnersAlone();
    return files
        .read()
        .orElseThrow(() -> new NodeException(files.directory() + ": removed just now"));
  }

  /** A clock that stands back a little stands still: what has begun does not end by that. */
  private static Instant steady(Authority authority, Instant now) {
    return clockProblem(authority, now).isPresent() ? now : later(authority.lastIssued(), now);
  }

  /** What is wrong with the clock, as far as the authority can tell; empty when nothing is. */
  private static Optional<String> clockProblem(Authority authority, Instant now) {
    if (now.isBefore(authority.lastIssued().minus(CLOCK_SKEW))) {
      return Optional.of(
          "this node's clock is wrong: it says "
              + now
              + ", and when this authority last made something it said "
              + authority.lastIssued()
              + "; set it (timedatectl, chronyc makestep)");
    }
    return Optional.empty();
  }

  private static Authority requireClock(Authority authority, Instant now, boolean trustClock) {
    Optional<String> problem = clockProblem(authority, now);
    if (problem.isEmpty()) {
      return authority;
    }
    if (!trustClock) {
      throw new NodeException(
          problem.get() + "; if it is right now, and was wrong then: --trust-clock");
    }
    return authority.at(now);
  }

  /** What others have left: superseded roots whose leaves have ended, their keys, half files. */
  private Authority tidy(Authority authority, Instant now) {
    List<Root> done =
        authority.superseded(now).stream()
            .filter(root -> root.lastLeafEnds().plus(CLOCK_SKEW).isBefore(now))
            .toList();
    Authority left = authority;
    if (!done.isEmpty()) {
      left =
          authority.with(authority.roots().stream().filter(root -> !done.contains(root)).toList());
      files.write(left);
    }
    for (Root root : left.superseded(now)) {
      if (root.key().isPresent()) {
        files.write(root.withoutKey());
        left = left.change(root, Root::withoutKey);
      }
    }
    files.removeOthers(left);
    return left;
  }

  // ---- issue

  /**
   * Sees to it that there is a good leaf for each of some service accounts.
   *
   * @param wanted for whom; of the authority's trust domain
   * @param others also for all of whom there is one
   * @param wholePolicy nobody else lives here: what has ended and was not asked for is removed
   * @throws NodeException when the clock is wrong, or nothing can sign
   */
  public Issued issue(
      SortedSet<SpiffeId> wanted, boolean others, boolean wholePolicy, Terms terms) {
    files.requireThere();
    try (AuthorityLock _ = AuthorityLock.take(files.directory())) {
      Authority read = authority();
      Instant now = steady(read, now());
      Authority authority = requireClock(read, now, terms.trustClock());
      return issue(tidy(authority, now), wanted, others, wholePolicy, terms, now);
    }
  }

  private Issued issue(
      Authority before,
      SortedSet<SpiffeId> wanted,
      boolean others,
      boolean wholePolicy,
      Terms terms,
      Instant now) {
    Root signer = signer(before, now);
    SortedSet<SpiffeId> all = new TreeSet<>(wanted);
    Map<SpiffeId, IdentityStatus> there = new TreeMap<>();
    List<X509Certificate> anchors = anchors(before, now);
    List<Issued.Identity> results = new ArrayList<>();
    List<IdentityDirectory.Place> gone = new ArrayList<>();
    for (IdentityDirectory.Place place : identities.places()) {
      SpiffeId id = new SpiffeId(before.trustDomain(), place.namespace(), place.account());
      IdentityStatus status = status(place, before, anchors, now);
      there.put(id, status);
      if (others) {
        all.add(id);
      } else if (wholePolicy
          && !wanted.contains(id)
          && status.state() == IdentityState.ended
          && status.leaf().isPresent()) {
        gone.add(place);
        Instant ended = status.leaf().get().notAfter();
        results.add(
            new Issued.Identity(
                id.uri(),
                Issued.Result.removed,
                "it has ended, and no workload here has this account",
                place.file(),
                ended,
                ended));
      }
    }
    List<SpiffeId> due = new ArrayList<>();
    for (SpiffeId id : all) {
      Optional<IdentityStatus> status = Optional.ofNullable(there.get(id));
      if (terms.anew() || status.filter(s -> s.state() == IdentityState.good).isEmpty()) {
        due.add(id);
      } else {
        status.ifPresent(s -> results.add(kept(s)));
      }
    }
    Instant notBefore = later(now.minus(CLOCK_SKEW), signer.notBefore());
    Instant notAfter = earlier(now.plus(terms.life()), signer.notAfter());
    Authority authority = before.at(later(before.lastIssued(), now));
    if (!due.isEmpty() || terms.trustClock()) {
      // Before there is any such leaf: whoever is killed has told how long this root is needed.
      authority =
          due.isEmpty()
              ? authority
              : authority.change(signer, root -> root.withLeavesUntil(notAfter));
      files.write(authority);
    }
    identities.make();
    identities.writeBundle(Pem.encode(anchors), disk);
    String shortened =
        notAfter.isBefore(now.plus(terms.life())) ? "no longer than the root lives" : "";
    for (SpiffeId id : due) {
      Optional<IdentityStatus> old = Optional.ofNullable(there.get(id));
      Path file = issueOne(authority, signer, id, notBefore, notAfter, now);
      results.add(
          new Issued.Identity(
              id.uri(),
              old.filter(s -> s.state() != IdentityState.broken).isPresent()
                  ? Issued.Result.renewed
                  : Issued.Result.issued,
              old.map(IdentityStatus::problem).filter(p -> !p.isEmpty()).orElse(shortened),
              file,
              notAfter,
              renewFrom(notBefore, notAfter)));
    }
    gone.forEach(place -> identities.remove(place, disk));
    results.sort(java.util.Comparator.comparing(Issued.Identity::id));
    return new Issued(identities.bundle(), signer.id(), results);
  }

  private static Issued.Identity kept(IdentityStatus status) {
    IdentityStatus.Leaf leaf = status.leaf().orElseThrow();
    return new Issued.Identity(
        status.id(), Issued.Result.kept, "", status.file(), leaf.notAfter(), leaf.renewFrom());
  }

  private static Root signer(Authority authority, Instant now) {
    Root signer =
        authority
            .signer(now)
            .orElseThrow(
                () ->
                    new NodeException(
                        "no root signs yet at "
                            + now
                            + ": this node's clock is wrong, or was when they were made; set it,"
                            + " or make a root anew: weir ca rotate --trust-clock"));
    if (now.isBefore(signer.notBefore())) {
      throw new NodeException(
          "root "
              + signer.id()
              + " begins at "
              + signer.notBefore()
              + ", and this node's clock says "
              + now
              + ": it is wrong, or was when the root was made; set it, or make a root anew: weir ca"
              + " rotate --trust-clock");
    }
    if (!now.isBefore(signer.notAfter())) {
      throw new NodeException(
          "root "
              + signer.id()
              + " has ended at "
              + signer.notAfter()
              + " (this node's clock says "
              + now
              + "); make a new one: weir ca rotate");
    }
    return signer;
  }

  private Path issueOne(
      Authority authority,
      Root signer,
      SpiffeId id,
      Instant notBefore,
      Instant notAfter,
      Instant now) {
    PrivateKey signingKey =
        signer
            .key()
            .orElseThrow(
                () ->
                    new NodeException(
                        "the key of root "
                            + signer.id()
                            + " is not in "
                            + files.directory()
                            + "; restore it, or make another root: weir ca rotate"));
    KeyPair keys = Keys.generate(random);
    X509Certificate leaf =
        issuer().leaf(signer.signer(), signingKey, id, keys.getPublic(), notBefore, notAfter);
    List<X509Certificate> chain = chain(leaf, signer);
    try {
      // As a peer will ask, before anybody is given it.
      String proved = SvidRules.check(chain, anchors(authority, now), now);
      if (!proved.equals(id.uri())) {
        throw new NotAnSvidException("it proves " + proved);
      }
    } catch (NotAnSvidException e) {
      throw new NodeException(
          "a certificate for " + id + " would not be believed: " + e.getMessage(), e);
    }
    byte[] bytes = Pem.encode(chain, keys.getPrivate().getEncoded());
    try {
      identities.writeSvid(id, bytes, disk);
    } finally {
      Arrays.fill(bytes, (byte) 0);
    }
    return identities.svid(id.namespace(), id.account());
  }

  /** The one that signs first: some programs look no further when they name an issuer. */
  private static List<X509Certificate> anchors(Authority authority, Instant now) {
    List<X509Certificate> anchors = new ArrayList<>();
    authority.signer(now).ifPresent(root -> anchors.add(root.anchor()));
    for (Root root : authority.roots()) {
      if (!anchors.contains(root.anchor())) {
        anchors.add(root.anchor());
      }
    }
    return anchors;
  }

  private static Instant later(Instant one, Instant other) {
    return one.isAfter(other) ? one : other;
  }

  private static Instant earlier(Instant one, Instant other) {
    return one.isBefore(other) ? one : other;
  }

  private static Instant renewFrom(Instant notBefore, Instant notAfter) {
    return notBefore.plus(Duration.between(notBefore, notAfter).multipliedBy(2).dividedBy(3));
  }

  // ---- rotate

  /**
   * How a root follows another.
   *
   * @param after it is believed at once, and signs this much later: time for peers to learn of it
   * @param overlap the old one is believed at least this long after that, whatever this node knows
   *     of its leaves: other nodes may have some
   * @param distrust the roots before it are not believed any more, and what they signed is issued
   *     anew: their key is known to others
   * @param leafLife of what is issued anew
   * @param trustClock the clock is right now, and was wrong when it was ahead
   */
  public record Rotation(
      Duration after, Duration overlap, boolean distrust, Duration leafLife, boolean trustClock) {}

  /**
   * Puts a new root beside the old one. Both are believed until the last leaf of the old one has
   * ended; leaves follow when they are due.
   *
   * @throws NodeException when a root waits already, or the clock is wrong
   */
  public Listing rotate(RootSource source, Rotation rotation) {
    files.requireThere();
    try (AuthorityLock _ = AuthorityLock.take(files.directory())) {
      Authority read = authority();
      Instant now = steady(read, now());
      Authority known = requireClock(read, now, rotation.trustClock());
      // Of a clock that was ahead: the time of such a root may never come.
      Authority before = rotation.trustClock() ? known.begun(now) : tidy(known, now);
      Optional<Root> waiting = before.waiting(now);
      if (waiting.isPresent() && !rotation.distrust()) {
        throw new NodeException(
            "root "
                + waiting.get().id()
                + " follows already, and signs from "
                + waiting.get().signsFrom()
                + " (weir ca list); rotate again after that");
      }
      Root root = root(source, before.trustDomain(), now, now.plus(rotation.after()));
      if (before.roots().stream().anyMatch(r -> r.id().equals(root.id()))) {
        throw new NodeException("root " + root.id() + " is there already; it takes another key");
      }
      files.write(root);
      Instant overlaps = root.signsFrom().plus(rotation.overlap());
      Authority both = before.signerNeededUntil(overlaps, now).with(root);
      Authority changed =
          (rotation.distrust() ? both.with(List.of(root)) : both)
              .at(later(before.lastIssued(), now));
      files.write(changed);
      Authority after = tidy(changed, now);
      if (identities.exists()) {
        identities.make();
        identities.writeBundle(Pem.encode(anchors(after, now)), disk);
        if (rotation.distrust()) {
          Issued _ =
              issue(
                  after,
                  new TreeSet<>(),
                  true,
                  false,
                  new Terms(rotation.leafLife(), true, false),
                  now);
        }
      }
      return listing(after, now);
    }
  }

  // ---- list

  /**
   * What there is and how it stands.
   *
   * @throws NodeException when there is no authority
   */
  public Listing list() {
    files.requireThere();
    try (AuthorityLock _ = AuthorityLock.take(files.directory())) {
      Authority read = authority();
      return listing(read, steady(read, now()));
    }
  }

  private Listing listing(Authority authority, Instant now) {
    List<X509Certificate> anchors = anchors(authority, now);
    List<RootStatus> roots =
        authority.roots().stream().map(root -> status(root, authority, now)).toList();
    List<IdentityStatus> leaves =
        identities.places().stream().map(place -> status(place, authority, anchors, now)).toList();
    return new Listing(
        authority.trustDomain(),
        now,
        clockProblem(authority, now).map(List::of).orElse(List.of()),
        roots,
        leaves);
  }

  private RootStatus status(Root root, Authority authority, Instant now) {
    Optional<Root> signer = authority.signer(now);
    boolean signs = signer.filter(s -> s.id().equals(root.id())).isPresent();
    RootStatus.Role role =
        root.signsFrom().isAfter(now)
            ? RootStatus.Role.waits
            : signs ? RootStatus.Role.signs : RootStatus.Role.leaves;
    Duration life = Duration.between(root.notBefore(), root.notAfter());
    String problem = "";
    if (now.isBefore(root.notBefore())) {
      problem = "begins at " + root.notBefore() + ": this node's clock is wrong, or was then";
    } else if (role != RootStatus.Role.leaves && !now.isBefore(root.notAfter())) {
      problem = "has ended: weir ca rotate";
    } else if (role != RootStatus.Role.leaves && root.key().isEmpty()) {
      problem = "its key is not there: restore it, or weir ca rotate";
    } else if (signs
        && authority.waiting(now).isEmpty()
        && now.isAfter(root.notAfter().minus(life.dividedBy(10)))) {
      problem = "a tenth of its life is left: weir ca rotate";
    }
    return new RootStatus(
        root.id(),
        root.signer().getSubjectX500Principal().getName(),
        root.signer().getSerialNumber().toString(16),
        root.notBefore(),
        root.notAfter(),
        role,
        root.signsFrom(),
        root.lastLeafEnds(),
        problem);
  }

  private IdentityStatus status(
      IdentityDirectory.Place place,
      Authority authority,
      Collection<X509Certificate> anchors,
      Instant now) {
    SpiffeId expected = new SpiffeId(authority.trustDomain(), place.namespace(), place.account());
    Pem pem;
    try {
      pem = Pem.parse(place.file(), bytes(place.file()));
    } catch (NodeException e) {
      return broken(expected, place, String.valueOf(e.getMessage()), Optional.empty());
    }
    try {
      List<X509Certificate> chain = pem.certificates();
      if (chain.isEmpty() || pem.key().isEmpty()) {
        return broken(expected, place, "a certificate or the key is missing", Optional.empty());
      }
      X509Certificate first = chain.getFirst();
      Instant notBefore = first.getNotBefore().toInstant();
      Instant notAfter = first.getNotAfter().toInstant();
      IdentityStatus.Leaf leaf =
          new IdentityStatus.Leaf(
              first.getSerialNumber().toString(16),
              notBefore,
              notAfter,
              renewFrom(notBefore, notAfter),
              authority.roots().stream()
                  .filter(root -> root.signed(first))
                  .map(Root::id)
                  .findFirst()
                  .orElse(""));
      try {
        PrivateKey _ = Keys.read(pem.key().get(), first.getPublicKey(), random);
        String id = SvidRules.idOf(first);
        if (!id.equals(expected.uri())) {
          return broken(expected, place, "it is for " + id, Optional.of(leaf));
        }
      } catch (NotAnSvidException e) {
        return broken(expected, place, String.valueOf(e.getMessage()), Optional.of(leaf));
      } catch (GeneralSecurityException e) {
        return broken(expected, place, "its key does not belong to it", Optional.of(leaf));
      }
      IdentityState state = IdentityState.good;
      String problem = "";
      Duration life = Duration.between(notBefore, notAfter);
      if (now.isBefore(notBefore)) {
        state = IdentityState.early;
        problem = "begins at " + notBefore + ": this node's clock is wrong, or was at the issue";
      } else if (!now.isBefore(notAfter)) {
        state = IdentityState.ended;
        problem = "has ended: weir ca issue";
      } else {
        try {
          String _ = SvidRules.check(chain, anchors, now);
          if (!now.isBefore(notAfter.minus(life.dividedBy(6)))) {
            state = IdentityState.ending;
            problem = "ends soon, and nobody has renewed it: weir ca issue";
          } else if (!now.isBefore(leaf.renewFrom())) {
            state = IdentityState.due;
          }
        } catch (NotAnSvidException e) {
          state = IdentityState.untrusted;
          problem = e.getMessage() + ": weir ca issue";
        }
      }
      return new IdentityStatus(expected.uri(), place.file(), state, problem, Optional.of(leaf));
    } finally {
      pem.forgetKey();
    }
  }

  private static IdentityStatus broken(
      SpiffeId id,
      IdentityDirectory.Place place,
      String problem,
      Optional<IdentityStatus.Leaf> leaf) {
    return new IdentityStatus(id.uri(), place.file(), IdentityState.broken, problem, leaf);
  }
}
