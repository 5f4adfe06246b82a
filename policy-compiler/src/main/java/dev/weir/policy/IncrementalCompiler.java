// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy;

import dev.weir.policy.cluster.Cluster;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.ResourceReader;
import dev.weir.policy.source.Diagnostic;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Purpose;
import dev.weir.policy.source.SourceFile;
import dev.weir.policy.source.SourceListing;
import dev.weir.policy.source.SourceListing.Stamp;
import dev.weir.policy.source.SourceTree;
import dev.weir.policy.source.Texts;
import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Compiles for a node again and again, as files change: a file that is what it was is not read
 * again. The result is that of {@link PolicyCompiler#compile} of the same files, warnings and
 * errors included.
 *
 * <p>When NetworkPolicies alone have changed, only the rows towards those are found anew whom one
 * of them selects. Everything else is compiled in full, from the objects that are known.
 *
 * <p>It keeps the objects of the files it was given last and of those that gave the last plan, and
 * nothing of files before them. Not for several threads.
 */
public final class IncrementalCompiler {

  private final Texts texts = new Texts();
  private Map<String, Read> files = Map.of();

  /** What files looked like when they were read, if that tells what is in them. */
  private Map<String, Stamp> stamps = Map.of();

  private Optional<Last> last = Optional.empty();
  private Optional<Base> base = Optional.empty();

  /** A file and what was found in it. */
  private record Read(
      WeakReference<byte[]> content, List<Resource> resources, List<Diagnostic> findings) {
    boolean isOf(SourceFile file) {
      byte[] known = content.get();
      return known != null && Arrays.equals(known, file.content());
    }

    /** Whether nobody behind the reader can tell the two apart. */
    boolean saysTheSame(Read other) {
      return resources.equals(other.resources) && findings.equals(other.findings);
    }
  }

  /** What files said, and what became of it. */
  private record Last(List<String> names, List<Diagnostic> problems, Compilation compilation) {}

  /** The last plan, and the files that it was made of. */
  private record Base(Map<String, Read> files, Build build) {}

  /** Objects that are no longer there, and such as have come. */
  private record Change(List<Resource> gone, List<Resource> come) {}

  /**
   * Compiles the files below a directory, as {@link PolicyCompiler#compileDirectory} does. A file
   * that looks from outside as it did is not read again.
   */
  public Compilation compileDirectory(Path root) {
    Instant begin = Instant.now();
    return compileDirectory(root, SourceListing.of(root), begin);
  }

  /**
   * The same for who has looked at the directory already.
   *
   * @param root the directory
   * @param listing what {@link SourceListing#of} found there
   * @param begin a moment before it looked
   */
  public Compilation compileDirectory(Path root, Optional<SourceListing> listing, Instant begin) {
    return compileDirectory(root, listing, begin, name -> true);
  }

  /**
   * The same for who was told which files have changed.
   *
   * @param changed whether a file of this name may have; of others nothing is asked
   */
  public Compilation compileDirectory(
      Path root, Optional<SourceListing> listing, Instant begin, Predicate<String> changed) {
    if (listing.isEmpty()) {
      return compile(SourceTree.read(root));
    }
    int size = listing.get().entries().size();
    Map<String, Read> now = HashMap.newHashMap(size);
    Map<String, Stamp> looks = HashMap.newHashMap(size);
    List<String> names = new ArrayList<>(size);
    for (SourceListing.Entry entry : listing.get().entries()) {
      Read before = files.get(entry.name());
      Read read = before;
      if (before != null && !changed.test(entry.name())) {
        Optional.ofNullable(stamps.get(entry.name()))
            .ifPresent(stamp -> looks.put(entry.name(), stamp));
        now.put(entry.name(), before);
        names.add(entry.name());
        continue;
      }
      if (before == null || !entry.stamp().equals(stamps.get(entry.name()))) {
        Optional<byte[]> content = content(entry);
        if (content.isEmpty()) {
          return compile(SourceTree.read(root));
        }
        read = read(new SourceFile(entry.name(), content.get()), before);
      }
      if (entry.stamp().settledBy(begin)) {
        looks.put(entry.name(), entry.stamp());
      }
      now.put(entry.name(), read);
      names.add(entry.name());
    }
    stamps = looks;
    return compile(now, names, List.of());
  }

  private static Optional<byte[]> content(SourceListing.Entry entry) {
    try {
      return entry.read();
    } catch (IOException e) {
      return Optional.empty(); // whoever reads all of them says what is wrong with this one
    }
  }

  /** Compiles files of which many may be what they were at the last call. */
  public Compilation compile(SourceTree tree) {
    stamps = Map.of();
    Map<String, Read> now = HashMap.newHashMap(tree.files().size());
    List<String> names = new ArrayList<>(tree.files().size());
    for (SourceFile file : tree.files()) {
      Read before = files.get(file.name());
      now.put(file.name(), before != null && before.isOf(file) ? before : read(file, before));
      names.add(file.name());
    }
    return compile(now, names, tree.problems());
  }

  private Compilation compile(
      Map<String, Read> now, List<String> names, List<Diagnostic> problems) {
    boolean same = true;
    for (Map.Entry<String, Read> entry : now.entrySet()) {
      Read before = files.get(entry.getKey());
      same =
          same
              && before != null
              && (is(entry.getValue(), before) || entry.getValue().saysTheSame(before));
    }
    files = now;
    if (same
        && last.isPresent()
        && last.get().names().equals(names)
        && last.get().problems().equals(problems)) {
      return last.get().compilation();
    }
    last = Optional.empty();
    Compilation compilation = compile(problems, names);
    last = Optional.of(new Last(names, problems, compilation));
    return compilation;
  }

  private Compilation compile(List<Diagnostic> problems, List<String> names) {
    Diagnostics diagnostics = new Diagnostics(Purpose.ENFORCE);
    diagnostics.addAll(problems);
    for (String name : names) {
      diagnostics.addAll(read(name).findings());
    }
    if (base.isPresent() && !diagnostics.failed()) {
      Change change = change(base.get().files(), files);
      Optional<Cluster> cluster = base.get().build().cluster().with(change.gone(), change.come());
      if (cluster.isPresent()) {
        Optional<Base> before = base;
        base = Optional.empty(); // should this fail, the next call begins anew
        Compilation compilation =
            keep(PolicyCompiler.build(cluster.get(), before.map(Base::build), diagnostics));
        base = base.or(() -> before);
        return compilation;
      }
    }
    List<Resource> resources = new ArrayList<>();
    names.forEach(name -> resources.addAll(read(name).resources()));
    return keep(PolicyCompiler.build(ResourceReader.unique(resources, diagnostics), diagnostics));
  }

  /** What is refused leaves nothing to begin with; the last plan still does. */
  private Compilation keep(PolicyCompiler.Outcome outcome) {
    outcome.build().ifPresent(build -> base = Optional.of(new Base(files, build)));
    return outcome.analysis().compilation();
  }

  /** Whether it is the very same: comparing what it says would take longer than reading it. */
  @SuppressWarnings("ReferenceEquality") // as said
  private static boolean is(@Nullable Object one, @Nullable Object other) {
    return one == other;
  }

  private static final Read NOTHING =
      new Read(new WeakReference<>(new byte[0]), List.of(), List.of());

  private Read read(String name) {
    return files.getOrDefault(name, NOTHING);
  }

  private Read read(SourceFile file, @Nullable Read before) {
    Diagnostics diagnostics = new Diagnostics(Purpose.ENFORCE);
    List<Resource> resources = ResourceReader.read(file, diagnostics, texts);
    if (before != null) {
      resources = withOld(resources, before.resources());
    }
    return new Read(new WeakReference<>(file.content()), resources, diagnostics.all());
  }

  /** Resources, with the old object instead of a new one that is equal to it. */
  private static List<Resource> withOld(List<Resource> resources, List<Resource> old) {
    Map<String, Resource> byId = new HashMap<>();
    old.forEach(resource -> byId.putIfAbsent(resource.id(), resource));
    return resources.stream()
        .map(
            resource -> {
              Resource known = byId.get(resource.id());
              return known != null && known.equals(resource) ? known : resource;
            })
        .toList();
  }

  private static Change change(Map<String, Read> old, Map<String, Read> now) {
    Set<Resource> gone = Collections.newSetFromMap(new IdentityHashMap<>());
    Set<Resource> come = Collections.newSetFromMap(new IdentityHashMap<>());
    old.forEach(
        (name, read) -> {
          if (!is(now.get(name), read)) {
            gone.addAll(read.resources());
          }
        });
    now.forEach(
        (name, read) -> {
          if (!is(old.get(name), read)) {
            come.addAll(read.resources());
          }
        });
    List<Resource> staying = gone.stream().filter(come::contains).toList();
    staying.forEach(gone::remove);
    staying.forEach(come::remove);
    return new Change(List.copyOf(gone), List.copyOf(come));
  }
}
