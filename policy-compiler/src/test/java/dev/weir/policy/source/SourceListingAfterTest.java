// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.source;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SourceListingAfterTest {

  @TempDir private Path root;

  @BeforeEach
  void someFiles() throws IOException {
    Files.createDirectories(root.resolve("a/b"));
    for (String name : List.of("one.yaml", "a/two.yaml", "a/b/three.json", "a/b/four.yml")) {
      Files.writeString(root.resolve(name), name);
    }
  }

  private SourceListing whole() {
    return SourceListing.of(root).orElseThrow();
  }

  private void unsure(SourceListing before, String... changed) {
    Set<Path> paths = new HashSet<>();
    for (String name : changed) {
      paths.add(root.resolve(name));
    }
    assertThat(before.after(root, paths)).isEmpty();
  }

  @Test
  void itIsTheListingOfTheWholeDirectory() throws IOException {
    Random random = new Random(7);
    List<String> directories = List.of("", "a/", "a/b/");
    SourceListing listing = whole();
    for (int round = 0; round < 200; round++) {
      Set<Path> changed = new HashSet<>();
      for (int i = random.nextInt(3); i >= 0; i--) {
        Path file =
            root.resolve(directories.get(random.nextInt(3)) + "f" + random.nextInt(6) + ".yaml");
        changed.add(file);
        if (random.nextInt(3) == 0) {
          Files.deleteIfExists(file);
        } else {
          Files.writeString(file, "x".repeat(random.nextInt(9)));
        }
      }
      changed.add(root.resolve("gone-" + round + ".tmp"));
      listing = listing.after(root, changed).orElseThrow();
      assertThat(listing).isEqualTo(whole());
    }
  }

  @Test
  void aDirectoryThatCameOrWentIsToBeLookedAt() throws IOException {
    SourceListing before = whole();
    Files.createDirectory(root.resolve("new.yaml"));
    unsure(before, "new.yaml");
    Files.move(root.resolve("a/b"), root.resolve("c"));
    unsure(before, "a/b");
  }

  @Test
  void aLinkAndWhatItLeadsToAreToBeLookedAt() throws IOException {
    Files.createSymbolicLink(root.resolve("link.yaml"), root.resolve("one.yaml"));
    SourceListing before = whole();
    Files.writeString(root.resolve("one.yaml"), "other");
    unsure(before, "one.yaml");
    unsure(before, "link.yaml");
  }

  @Test
  void aHiddenFileMayBeWhatALinkLeadsTo() throws IOException {
    Files.createDirectory(root.resolve("..1"));
    Files.writeString(root.resolve("..1/five.yaml"), "5");
    Files.createSymbolicLink(root.resolve("..data"), Path.of("..1"));
    Files.createSymbolicLink(root.resolve("five.yaml"), Path.of("..data/five.yaml"));
    unsure(whole(), "..data");
  }
}
