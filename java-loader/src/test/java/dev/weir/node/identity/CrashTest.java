// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.identity;

import static dev.weir.node.identity.AuthorityFixture.DB;
import static dev.weir.node.identity.AuthorityFixture.DOMAIN;
import static dev.weir.node.identity.AuthorityFixture.MADE;
import static dev.weir.node.identity.AuthorityFixture.TERMS;
import static dev.weir.node.identity.AuthorityFixture.WEB;
import static dev.weir.node.identity.AuthorityFixture.chain;
import static dev.weir.node.identity.AuthorityFixture.ids;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import dev.weir.policy.identity.SvidRules;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A command that ends between any two of its changes, also with a file half written under its
 * temporary name, leaves the old state or the new one, and the next command goes on from there.
 */
final class CrashTest {

  @TempDir private Path directory;

  private static final class Crash extends RuntimeException {}

  /** Does so many changes, leaves the next one half done, and that was it. */
  private static final class Failing extends Disk {
    private int left;

    Failing(int changes) {
      this.left = changes;
    }

    private void step(Path file) {
      if (left-- == 0) {
        try {
          Path half = file.resolveSibling(file.getFileName() + ".tmp");
          Files.writeString(half, "half");
          Files.setPosixFilePermissions(half, PosixFilePermissions.fromString("rw-------"));
        } catch (IOException e) {
          throw new UncheckedIOException(e);
        }
        throw new Crash();
      }
    }

    @Override
    void write(Path file, byte[] bytes) {
      step(file);
      super.write(file, bytes);
    }

    @Override
    void write(Path file, byte[] bytes, int group) {
      step(file);
      super.write(file, bytes, group);
    }

    @Override
    void remove(Path path) {
      if (left-- == 0) {
        throw new Crash();
      }
      super.remove(path);
    }
  }

  /** Runs a command that crashes after 0, 1, 2, ... changes until it does not. */
  private void everywhere(
      Consumer<AuthorityFixture> before,
      Consumer<CertificateAuthority> command,
      Consumer<AuthorityFixture> after) {
    int changes = 0;
    for (boolean crashed = true; crashed; changes++) {
      AuthorityFixture mesh = new AuthorityFixture(directory.resolve("after-" + changes));
      before.accept(mesh);
      mesh.pass(Duration.ofMinutes(10));
      try {
        command.accept(mesh.authority(new Failing(changes)));
        crashed = false;
      } catch (Crash e) {
        crashed = true;
      }
      after.accept(mesh);
    }
    assertThat(changes).as("changes of the command").isGreaterThan(2);
  }

  /** Every leaf that is there is believed by whoever has the bundle that is there. */
  private static void leavesAreBelieved(AuthorityFixture mesh) {
    List<X509Certificate> bundle = mesh.bundle();
    for (IdentityDirectory.Place place : mesh.identities.places()) {
      assertThatCode(() -> SvidRules.check(chain(place.file()), bundle, mesh.instant()))
          .as(place.file().toString())
          .doesNotThrowAnyException();
    }
  }

  private static void nothingIsLeftOver(AuthorityFixture mesh) {
    Set<String> known = new HashSet<>(Set.of("lock", "authority.json"));
    mesh.authority().list().roots().forEach(root -> known.add("root-" + root.id() + ".pem"));
    try (Stream<Path> files = Files.list(mesh.ca)) {
      assertThat(files.map(file -> String.valueOf(file.getFileName())))
          .containsExactlyInAnyOrderElementsOf(known);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void goesOn(AuthorityFixture mesh) {
    mesh.issue(WEB, DB);
    leavesAreBelieved(mesh);
    assertThat(mesh.authority().list().good()).isTrue();
    nothingIsLeftOver(mesh);
  }

  @Test
  void anInitThatWasKilledLeavesNoAuthorityOrAWholeOne() {
    everywhere(
        mesh -> {},
        authority -> authority.init(DOMAIN, MADE),
        mesh -> {
          if (!Files.exists(mesh.ca.resolve("authority.json"))) {
            mesh.init();
          }
          goesOn(mesh);
        });
  }

  @Test
  void aRotationThatWasKilledLeavesTheOldRootOrBoth() {
    everywhere(
        mesh -> mesh.init().issue(WEB, DB),
        authority -> authority.rotate(MADE, AuthorityFixture.rotation(Duration.ZERO, false)),
        mesh -> {
          leavesAreBelieved(mesh);
          List<RootStatus> roots = mesh.authority().list().roots();
          assertThat(roots.stream().filter(r -> r.role() == RootStatus.Role.signs)).hasSize(1);
          assertThat(roots).hasSizeBetween(1, 2).allMatch(root -> root.problem().isEmpty());
          goesOn(mesh);
          mesh.pass(Duration.ofHours(30));
          goesOn(mesh);
          assertThat(mesh.bundle()).hasSize(1);
        });
  }

  @Test
  void aDistrustingRotationThatWasKilledIsMadeGoodByTheNextIssue() {
    everywhere(
        mesh -> mesh.init().issue(WEB, DB),
        authority -> authority.rotate(MADE, AuthorityFixture.rotation(Duration.ZERO, true)),
        mesh -> {
          goesOn(mesh);
          assertThat(mesh.bundle()).hasSize(1);
        });
  }

  @Test
  void anIssueThatWasKilledLeavesOldLeavesOrNewOnes() {
    everywhere(
        mesh -> {
          mesh.init().issue(WEB, DB);
          mesh.rotate();
          mesh.pass(Duration.ofHours(17));
        },
        authority -> authority.issue(ids(WEB, DB), false, false, TERMS),
        mesh -> {
          leavesAreBelieved(mesh);
          goesOn(mesh);
          mesh.pass(Duration.ofHours(8));
          goesOn(mesh);
          assertThat(mesh.bundle()).hasSize(1);
        });
  }

  @Test
  void theEndOfAnOldRootThatWasKilledIsDoneOnceMore() {
    everywhere(
        mesh -> {
          mesh.init().issue(WEB, DB);
          mesh.rotate();
          mesh.pass(Duration.ofHours(25));
        },
        authority -> authority.issue(ids(WEB, DB), false, false, TERMS),
        CrashTest::goesOn);
  }
}
