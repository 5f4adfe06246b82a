// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import dev.weir.node.kernel.DurableFile;
import dev.weir.node.kernel.NodeException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Where the proxy finds certificates, keys and whom to believe: {@code identities/} in the run
 * directory ({@code docs/protocols.md}). Root writes, the proxy's group reads, nobody else does
 * either. Each SVID is one file with its chain and its key, so that the two can never disagree.
 */
public final class IdentityDirectory {

  /** Of the directory, in the run directory. */
  public static final String NAME = "identities";

  private static final Set<PosixFilePermission> MODE = PosixFilePermissions.fromString("rwxr-x---");
  private static final String SVID = "svid.pem";

  private final Path runDir;
  private final Path directory;
  private final int group;

  /**
   * The directory of a mesh.
   *
   * @param group number of the group that may read it: the proxy's
   */
  public IdentityDirectory(Path runDir, int group) {
    this.runDir = runDir;
    this.directory = of(runDir);
    this.group = group;
  }

  /** Where it is. */
  public static Path of(Path runDir) {
    return runDir.resolve(NAME);
  }

  /** A service account of which there is, or was, something. */
  record Place(String namespace, String account, Path file) {}

  Path directory() {
    return directory;
  }

  /** Whom to believe: the anchors of all roots whose leaves have not ended. */
  Path bundle() {
    return directory.resolve("bundle.pem");
  }

  Path svid(String namespace, String account) {
    return directory.resolve("ns").resolve(namespace).resolve("sa").resolve(account).resolve(SVID);
  }

  boolean exists() {
    return Files.isDirectory(directory);
  }

  /** Makes it, for the group. */
  void make() {
    DurableFile.makePassage(runDir);
    make(directory);
  }

  private void make(Path each) {
    try {
      if (!Files.isDirectory(each, LinkOption.NOFOLLOW_LINKS)) {
        Files.createDirectory(
            each,
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      }
      if (!Files.getAttribute(each, "unix:gid").equals(group)) {
        Files.setAttribute(each, "unix:gid", group);
      }
      if (!Files.getPosixFilePermissions(each).equals(MODE)) {
        Files.setPosixFilePermissions(each, MODE);
      }
    } catch (AccessDeniedException e) {
      throw DurableFile.failed("make", each, e);
    } catch (FileSystemException e) {
      throw new NodeException(
          "cannot make "
              + each
              + " readable for group "
              + group
              + ": "
              + Optional.ofNullable(e.getReason()).orElse(e.toString())
              + "; run as root, or give --proxy-user a number of your own",
          e);
    } catch (IOException e) {
      throw DurableFile.failed("make", each, e);
    }
  }

  /** Writes the bundle, if it is another. */
  void writeBundle(byte[] bytes, Disk disk) {
    if (DurableFile.read(bundle()).filter(old -> Arrays.equals(old, bytes)).isEmpty()) {
      disk.write(bundle(), bytes, group);
    }
  }

  /** Writes a chain with its key, whole. */
  void writeSvid(SpiffeId id, byte[] bytes, Disk disk) {
    Path file = svid(id.namespace(), id.account());
    Path each = directory;
    for (String name : List.of("ns", id.namespace(), "sa", id.account())) {
      each = each.resolve(name);
      make(each);
    }
    disk.write(file, bytes, group);
  }

  /** Removes an SVID, with the directories that it leaves empty. */
  void remove(Place place, Disk disk) {
    Path namespace = directory.resolve("ns").resolve(place.namespace());
    Path accounts = namespace.resolve("sa");
    disk.remove(place.file());
    disk.remove(accounts.resolve(place.account()));
    disk.remove(accounts);
    disk.remove(namespace);
  }

  /** All SVIDs, by namespace and account. What has another name is not ours. */
  List<Place> places() {
    List<Place> places = new ArrayList<>();
    for (Path namespace : DurableFile.list(directory.resolve("ns"))) {
      for (Path account : DurableFile.list(namespace.resolve("sa"))) {
        Path file = account.resolve(SVID);
        String first = String.valueOf(namespace.getFileName());
        String second = String.valueOf(account.getFileName());
        if (SpiffeId.isSegment(first) && SpiffeId.isSegment(second) && Files.exists(file)) {
          places.add(new Place(first, second, file));
        }
      }
    }
    return places;
  }
}
