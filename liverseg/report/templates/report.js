"use strict";
(async () => {
  const AMBER = [255, 176, 32];
  const NARROW = window.matchMedia("(max-width: 760px)");
  const element = (id) => document.getElementById(id);
  const told = JSON.parse(element("volumes").textContent);

  async function inflated(base64) {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  async function volume(base64, name, colormap, opacity, low, high) {
    const buffer = await inflated(base64);
    const made = await niivue.NVImage.new(
      buffer, name, colormap, opacity, null, low, high, true, 0.02, false, false, "", 0,
      undefined, NaN, NaN, false, null, 0, null);
    // What the viewer estimates from the values gives way to what was asked for.
    [made.cal_min, made.cal_max] = [low, high];
    return made;
  }

  function viewer(more) {
    return new niivue.Niivue({
      logLevel: "error", loadingText: "", dragAndDropEnabled: false, isColorbar: false,
      isRadiologicalConvention: true, sagittalNoseLeft: true, show3Dcrosshair: false,
      isResizeCanvas: true, backColor: [0.051, 0.059, 0.071, 1], clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "", viewModeHotKey: "", multiplanarShowRender: 0, ...more,
    });
  }

  function ramp(rgb, opaque) {
    return { R: [0, rgb[0]], G: [0, rgb[1]], B: [0, rgb[2]], A: [0, opaque], I: [0, 255] };
  }

  try {
    const slices = viewer({
      crosshairColor: [0.55, 0.65, 0.75, 0.55], crosshairWidth: 1, crosshairGap: 12,
      fontColor: [0.87, 0.89, 0.9, 1], fontSizeScaling: 0.35, fontMinPx: 11,
      showAllOrientationMarkers: true, multiplanarPadPixels: 4, tileMargin: 0,
    });
    await slices.attachTo("slices");
    const solid = viewer({ isOrientCube: false });
    await solid.attachTo("solid");
    for (const one of [slices, solid]) {
      one.addColormap("liver", ramp(AMBER, 255));
      one.addColormap("doubt", {
        R: [0, 90, 255], G: [0, 60, 90], B: [0, 200, 190], A: [0, 110, 230], I: [0, 96, 255] });
    }

    function arrange() {
      slices.setCustomLayout(NARROW.matches
        ? [{ sliceType: 0, position: [0, 0, 1, 0.245] }, { sliceType: 1, position: [0, 0.25, 1, 0.245] },
           { sliceType: 2, position: [0, 0.5, 1, 0.245] }]
        : [{ sliceType: 0, position: [0, 0, 0.498, 0.495] },
           { sliceType: 1, position: [0.502, 0, 0.498, 0.495] },
           { sliceType: 2, position: [0, 0.505, 0.498, 0.495] }]);
    }
    arrange();
    NARROW.addEventListener("change", arrange);

    const window0 = told.windows[0];
    const image = await volume(told.image, "image.nii", "gray", 1, window0[0], window0[1]);
    const mask = await volume(told.mask, "mask.nii", "liver", 0.35, 0, 255);
    slices.addVolume(image);
    slices.addVolume(mask);
    let doubt = null;
    if (told.disagreement) {
      doubt = await volume(told.disagreement, "disagreement.nii", "doubt", 0, 0.05, 1);
      slices.addVolume(doubt);
    }
    solid.setSliceType(solid.sliceTypeRender);
    solid.setRenderAzimuthElevation(180, 12);
    solid.addVolume(await volume(told.solid, "solid.nii", "liver", 1, 96, 255));
    await solid.setVolumeRenderIllumination(0.75);

    const axes = ["x", "y", "z"];
    let place = [...told.start];
    function show() {
      slices.scene.crosshairPos = slices.vox2frac(place);
      slices.drawScene();
      write();
    }
    function write() {
      axes.forEach((axis, at) => {
        element(`slide-${axis}`).value = place[at];
        element(`value-${axis}`).textContent = `${place[at] + 1} / ${told.shape[at]}`;
      });
      const value = image.getValue(...image.convertFrac2Vox(slices.scene.crosshairPos));
      element("here").textContent = `${Math.round(value)} HU`;
    }
    function move(at, by) {
      place[at] = Math.min(told.shape[at] - 1, Math.max(0, place[at] + by));
      show();
    }
    axes.forEach((axis, at) => {
      const slide = element(`slide-${axis}`);
      slide.max = told.shape[at] - 1;
      slide.addEventListener("input", () => { place[at] = Number(slide.value); show(); });
    });
    slices.onLocationChange = (where) => {
      place = where.vox.slice(0, 3).map((at, axis) =>
        Math.min(told.shape[axis] - 1, Math.max(0, Math.round(at))));
      write();
    };
    const keys = {
      ArrowUp: [2, 1], ArrowDown: [2, -1], PageUp: [1, 1], PageDown: [1, -1],
      ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    element("slices").addEventListener("keydown", (event) => {
      if (!(event.key in keys)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const [at, by] = keys[event.key];
      // In radiological convention the viewer's right is the patient's left.
      move(at, at === 0 ? -by : by);
    }, true);
    const turns = { ArrowUp: [0, 5], ArrowDown: [0, -5], ArrowLeft: [-10, 0], ArrowRight: [10, 0] };
    element("solid").addEventListener("keydown", (event) => {
      if (!(event.key in turns)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const [across, up] = turns[event.key];
      solid.setRenderAzimuthElevation(
        solid.scene.renderAzimuth + across, solid.scene.renderElevation + up);
    }, true);

    document.querySelectorAll("input[name=window]").forEach((choice) => {
      choice.addEventListener("change", () => {
        [image.cal_min, image.cal_max] = told.windows[Number(choice.value)];
        slices.updateGLVolume();
      });
    });
    element("opacity").addEventListener("input", () => {
      const share = Number(element("opacity").value);
      element("opacity-value").textContent = `${share} %`;
      slices.setOpacity(1, share / 100);
    });
    if (doubt) {
      element("disagreement").addEventListener("change", () => {
        slices.setOpacity(2, element("disagreement").checked ? 0.85 : 0);
      });
    }
    element("reset").addEventListener("click", () => {
      place = [...told.start];
      slices.scene.pan2Dxyzmm = [0, 0, 0, 1];
      solid.setRenderAzimuthElevation(180, 12);
      show();
    });
    show();
    window.liverseg = { slices, solid, told };
    document.body.dataset.viewer = "ready";
  } catch (error) {
    document.body.classList.add("no-viewer");
    document.body.dataset.viewer = "absent";
    const problem = element("problem");
    problem.hidden = false;
    problem.textContent =
      "This browser cannot show the interactive slices (WebGL 2 is needed); the picture above stands for them.";
  }
})();
