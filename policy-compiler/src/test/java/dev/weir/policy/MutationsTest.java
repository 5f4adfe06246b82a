// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The seeded bugs of {@code make mutate} can still be seeded. */
class MutationsTest {

  @Test
  void everyBugCanBeSeeded() throws IOException {
    for (Mutations.Mutation mutation : Mutations.all()) {
      Path file = Path.of("src/main/java/dev/weir/policy", mutation.file());
      String source = Files.readString(file);
      assertThat(mutation.apply(source)).as(mutation.name()).isNotEqualTo(source);
    }
  }

  @Test
  void thereAreEnough() throws IOException {
    assertThat(Mutations.all()).hasSizeGreaterThanOrEqualTo(25);
  }
}
