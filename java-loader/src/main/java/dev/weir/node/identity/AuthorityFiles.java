// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.DurableFile;
import dev.weir.node.kernel.NodeException;
import dev.weir.policy.json.Json;
import dev.weir.policy.json.JsonException;
import dev.weir.policy.json.JsonObject;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.X509Certificate;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The authority's directory ({@code docs/protocols.md}). {@code authority.json} says which roots
 * there are; it is written after what it names and before what it no longer names is removed, so
 * that whoever is killed in between leaves the old state or the new one.
 */
final class AuthorityFiles {

  private static final int VERSION = 1;
  private static final String INDEX = "authority.json";
  private static final String ROOT = "root-";
  private static final String PEM = ".pem";

  private static final Set<PosixFilePermission> OWNERS =
      EnumSet.of(
          PosixFilePermission.OWNER_READ,
          PosixFilePermission.OWNER_WRITE,
          PosixFilePermission.OWNER_EXECUTE);

  private final Path stateDir;
  private final Path directory;
  private final Disk disk;
  private final SecureRandom random;

  AuthorityFiles(Path stateDir, Disk disk, SecureRandom random) {
    this.stateDir = stateDir;
    this.directory = stateDir.resolve("ca");
    this.disk = disk;
    this.random = random;
  }

  Path directory() {
    return directory;
  }

  /** Makes the directory, for its owner alone. */
  void make() {
    DurableFile.makeDirectory(stateDir);
    DurableFile.makeDirectory(directory);
  }

  /**
   * Refuses to go on without an authority.
   *
   * @throws NodeException when there is none
   */
  void requireThere() {
    if (DurableFile.read(index()).isEmpty()) {
      throw new NodeException(
          "there is no authority in " + directory + "; make one: weir ca init --policy DIR");
    }
  }

  private Path index() {
    return directory.resolve(INDEX);
  }

  private Path file(String root) {
    return directory.resolve(ROOT + root + PEM);
  }

  /**
   * Refuses keys that others could read or exchange. Only under the lock: others' temporary files
   * come and go.
   *
   * @throws NodeException when something is open to others
   */
  void requireOwnersAlone() {
    try {
      if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
        throw new NodeException(directory + " is no directory; move it away");
      }
      requireOwnersAlone(directory);
      for (Path file : DurableFile.list(directory)) {
        requireOwnersAlone(file);
      }
    } catch (IOException e) {
      throw DurableFile.failed("look at", directory, e);
    }
  }

  private static void requireOwnersAlone(Path path) throws IOException {
    Set<PosixFilePermission> mode = Files.getPosixFilePermissions(path, LinkOption.NOFOLLOW_LINKS);
    Object owner = Files.getAttribute(path, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    Object self = Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    if (!OWNERS.containsAll(mode) || !owner.equals(self) && !owner.equals(0)) {
      throw new NodeException(
          path
              + " is open to others than its owner (mode "
              + PosixFilePermissions.toString(mode)
              + ", user "
              + owner
              + "), so the authority's key may be known to them: chown root and chmod go= it, and"
              + " then make a new root with `weir ca rotate --distrust` if you do not know better");
    }
  }

  /**
   * What is there; empty when there is no authority.
   *
   * @throws NodeException when it is damaged
   */
  Optional<Authority> read() {
    Optional<byte[]> bytes = DurableFile.read(index());
    if (bytes.isEmpty()) {
      return Optional.empty();
    }
    try {
      JsonObject object =
          JsonObject.parse(
              new String(bytes.get(), StandardCharsets.UTF_8), String.valueOf(index()));
      object.integer("version", VERSION, VERSION);
      List<Root> roots = new ArrayList<>();
      for (JsonObject root : object.objects("roots")) {
        roots.add(
            root(root.text("id"), instant(root, "signs_from"), instant(root, "last_leaf_ends")));
      }
      if (roots.isEmpty()) {
        throw object.error("roots", "is empty");
      }
      String trustDomain = object.text("trust_domain");
      SpiffeId.requireTrustDomain(trustDomain);
      return Optional.of(new Authority(trustDomain, instant(object, "last_issued"), roots));
    } catch (JsonException e) {
      throw new NodeException(
          e.getMessage() + "; restore " + directory + " from a copy, or begin anew", e);
    }
  }

  private static Instant instant(JsonObject object, String key) {
    String text = object.text(key);
    try {
      return Instant.parse(text);
    } catch (DateTimeException e) {
      throw object.error(key, "is no time");
    }
  }

  private Root root(String id, Instant signsFrom, Instant lastLeafEnds) {
    Path file = file(id);
    Pem pem =
        Pem.parse(
            file,
            DurableFile.read(file)
                .orElseThrow(
                    () ->
                        new NodeException(
                            file + " is missing, and " + index() + " names it; restore it")));
    try {
      List<X509Certificate> chain = pem.certificates();
      if (chain.isEmpty() || !Keys.id(chain.getFirst().getPublicKey()).equals(id)) {
        throw new NodeException(file + " is not the root that its name says; restore it");
      }
      Optional<PrivateKey> key = Optional.empty();
      if (pem.key().isPresent()) {
        key = Optional.of(Keys.read(pem.key().get(), chain.getFirst().getPublicKey(), random));
      }
      return new Root(id, chain, key, signsFrom, lastLeafEnds);
    } catch (GeneralSecurityException e) {
      // The parsers' messages may quote what they were given: only their kind is told.
      throw new NodeException(
          file
              + ": its key cannot be used ("
              + e.getClass().getSimpleName()
              + "); restore it, or make another root: weir ca rotate");
    } finally {
      pem.forgetKey();
    }
  }

  /** Writes a root, with its key if it has one; nobody knows of it until {@link #write}. */
  void write(Root root) {
    byte[] bytes =
        root.key()
            .map(key -> Pem.encode(root.chain(), key.getEncoded()))
            .orElseGet(() -> Pem.encode(root.chain()));
    try {
      disk.write(file(root.id()), bytes);
    } finally {
      Arrays.fill(bytes, (byte) 0);
    }
  }

  /** Makes it so. */
  void write(Authority authority) {
    disk.write(
        index(),
        Json.pretty(
                Map.of(
                    "version",
                    VERSION,
                    "trust_domain",
                    authority.trustDomain(),
                    "last_issued",
                    authority.lastIssued().toString(),
                    "roots",
                    authority.roots().stream()
                        .map(
                            root ->
                                Map.of(
                                    "id",
                                    root.id(),
                                    "signs_from",
                                    root.signsFrom().toString(),
                                    "last_leaf_ends",
                                    root.lastLeafEnds().toString()))
                        .toList()))
            .getBytes(StandardCharsets.UTF_8));
  }

  /** Removes roots that are not the authority's any more, and what was left half written. */
  void removeOthers(Authority authority) {
    Set<String> names =
        authority.roots().stream()
            .map(root -> String.valueOf(file(root.id()).getFileName()))
            .collect(Collectors.toSet());
    for (Path file : DurableFile.list(directory)) {
      String name = String.valueOf(file.getFileName());
      if (name.startsWith(ROOT) && !names.contains(name) || name.endsWith(".tmp")) {
        disk.remove(file);
      }
    }
  }
}
