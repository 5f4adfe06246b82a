// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.model.Resource;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.source.Texts;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Compiles for a node again and again, as files change: a file that is what it was is not read
 * again. The result is that of {@link PolicyCompiler#compile} of the same files, warnings and
 * errors included.
 *
 * <p>It keeps the bytes and the objects of the files it was given last, and nothing of files before
 * them. Not for several threads.
 */
public final class IncrementalCompiler {

  private final Texts texts = new Texts();
  private Map<String, Read> files = Map.of();
  private Optional<Last> last = Optional.empty();

  /** A file and what was found in it. */
  private record Read(SourceFile file, List<Resource> resources, List<Diagnostic> findings) {
    boolean isOf(SourceFile other) {
      return Arrays.equals(file.content(), other.content());
    }

    /** Whether nobody behind the reader can tell the two apart. */
    boolean saysTheSame(Read other) {
      return resources.equals(other.resources) && findings.equals(other.findings);
    }
  }

  /** What files said, and what became of it. */
  private record Last(List<String> names, List<Diagnostic> problems, Compilation compilation) {}

  /** Compiles files of which many may be what they were at the last call. */
  public Compilation compile(SourceTree tree) {
    Map<String, Read> now = new HashMap<>();
    List<String> names = new ArrayList<>();
    boolean same = true;
    for (SourceFile file : tree.files()) {
      Read before = files.get(file.name());
      Read read = before != null && before.isOf(file) ? before : read(file);
      same = same && before != null && read.saysTheSame(before);
      now.put(file.name(), read);
      names.add(file.name());
    }
    files = now;
    if (same
        && last.isPresent()
        && last.get().names().equals(names)
        && last.get().problems().equals(tree.problems())) {
      return last.get().compilation();
    }
    Diagnostics diagnostics = new Diagnostics(Purpose.ENFORCE);
    diagnostics.addAll(tree.problems());
    List<Resource> resources = new ArrayList<>();
    for (String name : names) {
      Read read = now.getOrDefault(name, NOTHING);
      diagnostics.addAll(read.findings());
      resources.addAll(read.resources());
    }
    Compilation compilation =
        PolicyCompiler.run(ResourceReader.unique(resources, diagnostics), diagnostics)
            .compilation();
    last = Optional.of(new Last(List.copyOf(names), tree.problems(), compilation));
    return compilation;
  }

  private static final Read NOTHING =
      new Read(new SourceFile("", new byte[0]), List.of(), List.of());

  private Read read(SourceFile file) {
    Diagnostics diagnostics = new Diagnostics(Purpose.ENFORCE);
    List<Resource> resources = ResourceReader.read(file, diagnostics, texts);
    List<Diagnostic> findings = new ArrayList<>(diagnostics.errors());
    findings.addAll(diagnostics.warnings());
    return new Read(file, resources, findings);
  }
}
