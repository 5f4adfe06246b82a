// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.cluster;

import dev.weir.policy.model.LabelSelector;
import dev.weir.policy.model.LabelSelector.Operator;
import dev.weir.policy.model.LabelSelector.Requirement;
import dev.weir.policy.model.Located;
import dev.weir.policy.model.Mesh;
import dev.weir.policy.model.Meta;
import dev.weir.policy.model.Namespace;
import dev.weir.policy.model.NetworkPolicy.Peer;
import dev.weir.policy.model.Resource;
import dev.weir.policy.model.Workload;
import dev.weir.policy.plan.Address;
import dev.weir.policy.source.Diagnostics;
import dev.weir.policy.source.Position;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * Everything declared, in an order that does not depend on files, and who is selected by what.
 * Workloads are known by their index in {@link #workloads}.
 */
public final class Cluster {

  /** The label every namespace has without being given it. */
  private static final String NAME_LABEL = "kubernetes.io/metadata.name";

  private static final Comparator<Resource> ORDER =
      Comparator.comparing(Resource::kind)
          .thenComparing(r -> r.meta().namespace())
          .thenComparing(r -> r.meta().name());

  private final List<Resource> resources;
  private final List<Workload> workloads;
  private final Optional<Mesh> mesh;
  private final Map<String, Map<String, String>> namespaces;
  private final Map<String, int[]> byNamespace;
  private final Map<String, Map<String, int[]>> byLabel;
  private final int[] everyone;

  /** Where workloads of this node are; only asked for where pods are discovered. */
  private final Set<Address> here;

  /** Answers that were given before: of many clauses few ask something new. */
  private final Map<Question, int[]> selected;

  /** Is another one when some answer may be: workloads are others, or labelled in another way. */
  private final Object answers;

  /** The resources of a kind, once somebody has asked for them. */
  private final Map<Class<?>, List<Resource>> kinds = new HashMap<>();

  /** How many answers are kept before they are forgotten: files change, and questions with them. */
  private static final int MAX_ANSWERS = 1 << 17;

  private Cluster(List<Resource> resources, Diagnostics diagnostics) {
    this.resources = resources.stream().sorted(ORDER).toList();
    this.selected = new HashMap<>();
    this.byNamespace = new HashMap<>();
    this.byLabel = new HashMap<>();
    this.namespaces = new TreeMap<>();
    this.workloads = Owners.resolve(all(Workload.class));
    List<Mesh> meshes = all(Mesh.class);
    this.mesh = meshes.stream().findFirst();
    for (Mesh other : meshes.subList(Math.min(1, meshes.size()), meshes.size())) {
      diagnostics.error(
          other.meta().at(),
          "",
          "there is more than one Mesh; another is at " + meshes.getFirst().meta().at(),
          "keep one");
    }
    for (Namespace namespace : all(Namespace.class)) {
      Map<String, String> labels = new HashMap<>(namespace.meta().labels());
      labels.put(NAME_LABEL, namespace.meta().name());
      namespaces.put(namespace.meta().name(), Map.copyOf(labels));
    }
    for (Resource resource : this.resources) {
      String name = resource.meta().namespace();
      if (!name.isEmpty()) {
        namespaces.putIfAbsent(name, Map.of(NAME_LABEL, name));
      }
    }
    this.everyone = index();
    this.answers = new Object();
    this.here = here();
    if (discovers()) {
      Ambient.check(workloads, all(Namespace.class), diagnostics);
    }
    checkHomes(diagnostics);
  }

  /**
   * Other resources of the same world.
   *
   * @param workloads as many, of the same names
   * @param relabelled those whose labels are others, by index
   */
  private Cluster(
      Cluster before,
      List<Resource> resources,
      List<Workload> workloads,
      List<Integer> relabelled,
      List<Resource> come) {
    this.resources = resources;
    this.workloads = workloads;
    this.mesh = before.mesh;
    this.namespaces = new TreeMap<>(before.namespaces);
    for (Resource resource : come) {
      String name = resource.meta().namespace();
      namespaces.putIfAbsent(name, Map.of(NAME_LABEL, name));
    }
    this.byNamespace = before.byNamespace;
    this.everyone = before.everyone;
    this.here = here();
    if (relabelled.isEmpty()) {
      this.byLabel = before.byLabel;
      this.selected = before.selected;
      this.answers = before.answers;
      if (selected.size() > MAX_ANSWERS) {
        selected.clear();
      }
    } else {
      this.byLabel = new HashMap<>(before.byLabel);
      relabelled.forEach(
          w -> relabel(w, before.workloads.get(w).meta().labels(), workloads.get(w)));
      Map<Question, int[]> still = new HashMap<>(before.selected);
      Set<Relabelling> relabellings = new HashSet<>();
      for (int w : relabelled) {
        Meta meta = workloads.get(w).meta();
        Map<String, String> old = before.workloads.get(w).meta().labels();
        relabellings.add(new Relabelling(meta.namespace(), old, meta.labels()));
      }
      still.keySet().removeIf(question -> isAnsweredAnew(question, relabellings));
      boolean all = still.size() == before.selected.size();
      // Not shared: what is asked from now on has other answers than before.
      this.selected = still;
      this.answers = all ? before.answers : new Object();
    }
  }

  private record Relabelling(String namespace, Map<String, String> old, Map<String, String> now) {}

  private static boolean isAnsweredAnew(Question question, Set<Relabelling> relabellings) {
    LabelSelector selector =
        new LabelSelector(question.labels(), question.requirements(), new Position("", 0, 0));
    for (Relabelling labels : relabellings) {
      if (question.namespaces().contains(labels.namespace())
          && Selectors.matches(selector, labels.now())
              != Selectors.matches(selector, labels.old())) {
        return true;
      }
    }
    return false;
  }

  private void relabel(int w, Map<String, String> old, Workload now) {
    old.forEach(
        (key, value) -> {
          if (!value.equals(now.meta().labels().get(key))) {
            Map<String, int[]> values = new HashMap<>(byLabel.getOrDefault(key, Map.of()));
            values.computeIfPresent(
                value, (k, list) -> Arrays.stream(list).filter(i -> i != w).toArray());
            byLabel.put(key, values);
          }
        });
    now.meta()
        .labels()
        .forEach(
            (key, value) -> {
              if (!value.equals(old.get(key))) {
                Map<String, int[]> values = new HashMap<>(byLabel.getOrDefault(key, Map.of()));
                values.merge(
                    value,
                    new int[] {w},
                    (list, one) ->
                        IntStream.concat(Arrays.stream(list), Arrays.stream(one))
                            .sorted()
                            .toArray());
                byLabel.put(key, values);
              }
            });
  }

  /**
   * The same after some resources have gone and others come. Empty when that is more than a small
   * change: of whom there is, or one that cannot be.
   *
   * @param gone resources of this cluster
   * @param come resources
   */
  public Optional<Cluster> with(List<Resource> gone, List<Resource> come) {
    for (List<Resource> changed : List.of(gone, come)) {
      for (Resource resource : changed) {
        if (resource instanceof Mesh
            || resource instanceof Namespace
            || resource instanceof Workload workload
                && (workload.controller().isPresent()
                    || discovers() && workload.kind().equals("Pod"))
            || resource.meta().namespace().isEmpty()) {
          return Optional.empty();
        }
      }
    }
    List<Resource> now = new ArrayList<>(resources);
    for (Resource resource : gone) {
      int place = Collections.binarySearch(now, resource, ORDER);
      if (place < 0) {
        return Optional.empty();
      }
      now.remove(place);
    }
    for (Resource resource : come) {
      int place = Collections.binarySearch(now, resource, ORDER);
      if (place >= 0) {
        return Optional.empty();
      }
      now.add(-place - 1, resource);
    }
    List<Integer> relabelled = new ArrayList<>();
    Optional<List<Workload>> inhabitants = inhabitants(gone, come, relabelled);
    if (inhabitants.isEmpty()) {
      return Optional.empty();
    }
    Cluster cluster =
        new Cluster(this, Collections.unmodifiableList(now), inhabitants.get(), relabelled, come);
    kinds.forEach(
        (kind, found) -> {
          if (gone.stream().noneMatch(kind::isInstance)
              && come.stream().noneMatch(kind::isInstance)) {
            cluster.kinds.put(kind, found);
          }
        });
    return Optional.of(cluster);
  }

  /** The workloads after a change; empty when they are not of the same names. */
  private Optional<List<Workload>> inhabitants(
      List<Resource> gone, List<Resource> come, List<Integer> relabelled) {
    long left = gone.stream().filter(Workload.class::isInstance).count();
    List<Workload> others =
        come.stream().filter(Workload.class::isInstance).map(Workload.class::cast).toList();
    if (left == 0 && others.isEmpty()) {
      return Optional.of(workloads);
    }
    if (left != others.size()) {
      return Optional.empty();
    }
    List<Workload> now = new ArrayList<>(workloads);
    List<Workload> moved = new ArrayList<>();
    for (Workload workload : others) {
      int place = Collections.binarySearch(workloads, workload, ORDER);
      if (place < 0) {
        return Optional.empty();
      }
      Workload old = now.set(place, workload);
      if (!old.meta().labels().equals(workload.meta().labels())) {
        relabelled.add(place);
      }
      if (!livesAs(old, workload)) {
        moved.add(workload);
      }
    }
    if (!moved.isEmpty() && mesh.flatMap(Mesh::tunnels).isPresent()) {
      return Optional.empty(); // It is the address that says who is reached by tunnel.
    }
    return haveHomesOfTheirOwn(moved, now)
        ? Optional.of(Collections.unmodifiableList(now))
        : Optional.empty();
  }

  /** Whether both live at the same place and have the same addresses. */
  public static boolean livesAs(Workload one, Workload other) {
    return one.cgroups().stream()
            .map(Located::value)
            .toList()
            .equals(other.cgroups().stream().map(Located::value).toList())
        && one.hostNetwork() == other.hostNetwork()
        && one.addresses().stream()
            .map(Located::value)
            .toList()
            .equals(other.addresses().stream().map(Located::value).toList());
  }

  private boolean haveHomesOfTheirOwn(List<Workload> moved, List<Workload> all) {
    if (moved.isEmpty()) {
      return true;
    }
    Set<Object> homes = new HashSet<>();
    mesh.ifPresent(m -> homes.add(m.proxyCgroup().value()));
    for (Workload workload : moved) {
      for (Located<String> cgroup : workload.cgroups()) {
        if (!homes.add(cgroup.value())) {
          return false;
        }
      }
      for (Located<Address> address : workload.addresses()) {
        if (!homes.add(address.value())) {
          return false;
        }
      }
    }
    Set<Workload> those = Collections.newSetFromMap(new IdentityHashMap<>());
    those.addAll(moved);
    for (Workload workload : all) {
      if (!those.contains(workload)
          && (workload.cgroups().stream().anyMatch(c -> homes.contains(c.value()))
              || workload.addresses().stream().anyMatch(a -> homes.contains(a.value())))) {
        return false;
      }
    }
    return true;
  }

  /** Whether selectors select the same, by index, as in another cluster. */
  public boolean answersAs(Cluster other) {
    return answers.equals(other.answers);
  }

  /** Whether the workloads are the very ones of another cluster. */
  @SuppressWarnings("ReferenceEquality") // equal ones that were read again would be another world
  public boolean hasWorkloadsOf(Cluster other) {
    return workloads == other.workloads;
  }

  /** Brings resources into order and finds what cannot be together. */
  public static Cluster of(List<Resource> resources, Diagnostics diagnostics) {
    return new Cluster(resources, diagnostics);
  }

  private int[] index() {
    Map<String, List<Integer>> namespaceLists = new HashMap<>();
    Map<String, Map<String, List<Integer>>> labelLists = new HashMap<>();
    int[] all = new int[workloads.size()];
    for (int i = 0; i < all.length; i++) {
      all[i] = i;
      Workload workload = workloads.get(i);
      namespaceLists.computeIfAbsent(workload.meta().namespace(), k -> new ArrayList<>()).add(i);
      for (Map.Entry<String, String> label : workload.meta().labels().entrySet()) {
        labelLists
            .computeIfAbsent(label.getKey(), k -> new HashMap<>())
            .computeIfAbsent(label.getValue(), k -> new ArrayList<>())
            .add(i);
      }
    }
    namespaceLists.forEach((name, list) -> byNamespace.put(name, array(list)));
    labelLists.forEach(
        (key, values) -> {
          Map<String, int[]> arrays = new HashMap<>();
          values.forEach((value, list) -> arrays.put(value, array(list)));
          byLabel.put(key, arrays);
        });
    return all;
  }

  private static int[] array(List<Integer> list) {
    return list.stream().mapToInt(Integer::intValue).toArray();
  }

  private void checkHomes(Diagnostics diagnostics) {
    Map<String, Position> homes = new HashMap<>();
    mesh.ifPresent(m -> homes.put(m.proxyCgroup().value(), m.proxyCgroup().at()));
    Map<Address, Position> addresses = new HashMap<>();
    for (Workload workload : workloads) {
      for (Located<String> cgroup : workload.cgroups()) {
        Position home = homes.putIfAbsent(cgroup.value(), cgroup.at());
        if (home != null) {
          diagnostics.error(
              cgroup.at(),
              cgroup.field(),
              cgroup.value() + " is also the cgroup declared at " + home,
              "a cgroup is one workload");
        }
      }
      for (Located<Address> address : dialledAddresses(workload)) {
        Position owner = addresses.putIfAbsent(address.value(), address.at());
        if (owner != null) {
          diagnostics.error(
              address.at(),
              address.field(),
              address.value() + " is also the address declared at " + owner,
              "leave it out for workloads that share this node's addresses");
        }
      }
    }
  }

  /** All resources of a kind, by namespace and name. */
  public <T extends Resource> List<T> all(Class<T> kind) {
    List<Resource> known = kinds.get(kind);
    if (known == null) {
      known = resources.stream().filter(kind::isInstance).toList();
      kinds.put(kind, known);
    }
    @SuppressWarnings("unchecked") // nothing else was put there
    List<T> found = (List<T>) known;
    return found;
  }

  /** Whether the resources of a kind are the very ones of another cluster. */
  public boolean hasAllOf(Class<? extends Resource> kind, Cluster other) {
    List<? extends Resource> mine = all(kind);
    List<? extends Resource> others = other.all(kind);
    if (mine.size() != others.size()) {
      return false;
    }
    for (int i = 0; i < mine.size(); i++) {
      if (!is(mine.get(i), others.get(i))) {
        return false;
      }
    }
    return true;
  }

  @SuppressWarnings("ReferenceEquality") // what is the very same need not be compared
  private static boolean is(Object one, Object other) {
    return one == other;
  }

  /** Workloads by namespace and name. */
  public List<Workload> workloads() {
    return workloads;
  }

  /**
   * Addresses by which a workload is known: those of what runs on this node, and those of what runs
   * elsewhere when {@code Mesh.trustPodAddresses} says so. From every other address comes {@code
   * outside}, since nothing of ours tells who sends from there.
   */
  public List<Located<Address>> believedAddresses(Workload workload) {
    return workload.onThisNode() || mesh.map(Mesh::trustPodAddresses).orElse(false)
        ? workload.addresses()
        : List.of();
  }

  /**
   * Addresses at which a workload is reached. Those of one that is reached by tunnel are believed
   * for that: whoever is there proves who it is.
   */
  public List<Located<Address>> dialledAddresses(Workload workload) {
    return reachedByTunnel(workload) ? workload.addresses() : believedAddresses(workload);
  }

  /** Whether connections over TCP to a workload go by tunnel, to a peer or to itself. */
  public boolean reachedByTunnel(Workload workload) {
    return peer(workload).isPresent() || discovered(workload);
  }

  /**
   * Whether tunnels lead to a workload's own addresses: a pod elsewhere that an ambient mesh has
   * captured, and that is with no peer of {@code Mesh.tunnels}.
   */
  public boolean discovered(Workload workload) {
    return discovers()
        && !workload.onThisNode()
        && !workload.addresses().isEmpty()
        && Ambient.captures(workload, namespaceLabels(workload.meta().namespace()))
        && peer(workload).isEmpty()
        && workload.addresses().stream().noneMatch(a -> here.contains(a.value()));
  }

  private boolean discovers() {
    return mesh.flatMap(Mesh::tunnels).map(Mesh.Tunnels::ambient).orElse(false);
  }

  /** A pod of this node may be declared twice: as Workload with its cgroup, and as Pod. */
  private Set<Address> here() {
    Set<Address> addresses = new HashSet<>();
    if (discovers()) {
      for (Workload workload : workloads) {
        if (workload.onThisNode()) {
          workload.addresses().forEach(address -> addresses.add(address.value()));
        }
      }
    }
    return addresses;
  }

  /**
   * The peer to which connections to a workload go by tunnel.
   *
   * @return index among {@code Mesh.tunnels.peers}; empty when it is with none of them
   */
  public OptionalInt peer(Workload workload) {
    if (mesh.isEmpty()
        || mesh.get().tunnels().isEmpty()
        || workload.onThisNode()
        || workload.addresses().isEmpty()) {
      return OptionalInt.empty();
    }
    Address address = workload.addresses().getFirst().value();
    List<Mesh.Peer> peers = mesh.get().tunnels().get().peers();
    return IntStream.range(0, peers.size()).filter(i -> peers.get(i).has(address)).findFirst();
  }

  /** The settings of this node, if there are any. */
  public Optional<Mesh> mesh() {
    return mesh;
  }

  /** Labels of a namespace: those of its object, and its name. */
  public Map<String, String> namespaceLabels(String namespace) {
    Map<String, String> labels = namespaces.get(namespace);
    return labels != null ? labels : Map.of(NAME_LABEL, namespace);
  }

  /** What a selector says, wherever it was written. */
  private record Question(
      Set<String> namespaces, Map<String, String> labels, List<Requirement> requirements) {}

  /** Workloads of one namespace that a selector selects, ascending; not to be changed. */
  public int[] select(String namespace, LabelSelector selector) {
    return select(Set.of(namespace), selector);
  }

  private int[] select(Set<String> within, LabelSelector selector) {
    return selected.computeIfAbsent(
        new Question(within, selector.matchLabels(), selector.matchExpressions()),
        k -> find(within, selector));
  }

  /** Workloads that a peer of a policy of {@code namespace} selects, ascending. */
  public int[] select(String namespace, Peer.Pods peer) {
    if (peer.namespaces().isEmpty() && peer.pods().isPresent()) {
      return select(namespace, peer.pods().get());
    }
    LabelSelector pods =
        peer.pods().orElseGet(() -> new LabelSelector(Map.of(), List.of(), new Position("", 0, 0)));
    if (peer.namespaces().isEmpty()) {
      return select(namespace, pods);
    }
    LabelSelector selector = peer.namespaces().get();
    Set<String> within = new HashSet<>();
    namespaces.forEach(
        (name, labels) -> {
          if (Selectors.matches(selector, labels)) {
            within.add(name);
          }
        });
    return select(within, pods);
  }

  private int[] find(Set<String> within, LabelSelector selector) {
    int[] candidates =
        candidates(
            selector,
            within.size() == 1
                ? byNamespace.getOrDefault(within.iterator().next(), new int[0])
                : everyone);
    int[] found = new int[candidates.length];
    int size = 0;
    for (int i : candidates) {
      Meta meta = workloads.get(i).meta();
      if (within.contains(meta.namespace()) && Selectors.matches(selector, meta.labels())) {
        found[size++] = i;
      }
    }
    return size == found.length ? found : Arrays.copyOf(found, size);
  }

  /** Workloads of one namespace with these labels, ascending. */
  public int[] select(String namespace, Map<String, String> labels) {
    return select(namespace, new LabelSelector(labels, List.of(), new Position("", 0, 0)));
  }

  /** The shortest list that holds all that the selector may select. */
  private int[] candidates(LabelSelector selector, int[] otherwise) {
    int[] best = otherwise;
    for (Map.Entry<String, String> label : selector.matchLabels().entrySet()) {
      int[] list = having(label.getKey(), label.getValue());
      best = list.length < best.length ? list : best;
    }
    for (Requirement requirement : selector.matchExpressions()) {
      if (requirement.operator() == Operator.IN && requirement.values().size() == 1) {
        int[] list = having(requirement.key(), requirement.values().getFirst());
        best = list.length < best.length ? list : best;
      }
    }
    return best;
  }

  private int[] having(String key, String value) {
    return byLabel.getOrDefault(key, Map.of()).getOrDefault(value, new int[0]);
  }
}
