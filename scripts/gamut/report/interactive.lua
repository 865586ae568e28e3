-- The report's script: the read-out under the pointer, the smoothing slider, and text of one size
-- however wide a chart is. Without it the page shows the same curves.

return [=[
'use strict';
(() => {
  const svgNS = 'http://www.w3.org/2000/svg';
  const make = (name, attributes, parent) => {
    const element = document.createElementNS(svgNS, name);
    for (const key in attributes) element.setAttribute(key, attributes[key]);
    return parent.appendChild(element);
  };
  const show = value => value === null ? 'not finite'
    : Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(3)
    : String(+value.toPrecision(5));
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; xs[middle] < x ? low = middle : high = middle; }
    return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
  };
  const smooth = (values, weight) => {
    let average = 0, mass = 0;
    return values.map(value => {
      if (value === null) return null;
      average = weight * average + (1 - weight) * value;
      mass = weight * mass + (1 - weight);
      return average / mass;
    });
  };

  const redraws = [];
  for (const plot of document.querySelectorAll('.plot')) {
    const svg = plot.querySelector('svg'), cursor = svg.querySelector('.cursor');
    const data = JSON.parse(plot.querySelector('script').textContent);
    const width = svg.viewBox.baseVal.width;
    const readout = plot.appendChild(document.createElement('div'));
    readout.className = 'readout';
    readout.hidden = true;
    const x = step => data.left + (step - data.x0) / (data.x1 - data.x0) * (data.right - data.left);
    const y = value => data.bottom - (value - data.y0) / (data.y1 - data.y0) * (data.bottom - data.top);

    new ResizeObserver(() => svg.style.setProperty('--unit', width / svg.clientWidth)).observe(svg);

    redraws.push(weight => {
      for (const path of svg.querySelectorAll('.smooth')) {
        const curve = data.curves[path.dataset.series];
        curve.smoothed = smooth(curve.y, weight);
        let pen = 'M';
        path.setAttribute('d', curve.x.map((step, i) => {
          const value = curve.smoothed[i];
          if (value === null) { pen = 'M'; return ''; }
          const part = pen + x(step).toFixed(1) + ' ' + y(value).toFixed(1);
          pen = 'L';
          return part;
        }).join(''));
      }
    });

    const hide = () => { readout.hidden = true; cursor.replaceChildren(); };
    const move = event => {
      const box = svg.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * width;
      const step = data.x0 + (at - data.left) / (data.right - data.left) * (data.x1 - data.x0);
      const hits = data.curves.map(curve => nearest(curve.x, step));
      const ranked = hits.map((hit, i) => Math.abs(data.curves[i].x[hit] - step));
      const lead = ranked.indexOf(Math.min(...ranked));
      const leadStep = data.curves[lead].x[hits[lead]];
      cursor.replaceChildren();
      make('line', {x1: x(leadStep), x2: x(leadStep), y1: data.top, y2: data.bottom}, cursor);
      readout.replaceChildren();
      const line = parts => {
        const row = readout.appendChild(document.createElement('div'));
        row.append(...parts);
        return row;
      };
      const pale = text => { const span = document.createElement('span'); span.textContent = text; return span; };
      line([pale(data.axis + ' '), leadStep.toLocaleString('en') + data.unit]);
      data.curves.forEach((curve, i) => {
        const hit = hits[i], value = curve.y[hit];
        if (Math.abs(curve.x[hit] - leadStep) > (data.x1 - data.x0) / 10) return; // it ends before or begins behind
        const other = curve.x[hit] === leadStep ? '' : ' at ' + curve.x[hit].toLocaleString('en') + data.unit;
        const isSmoothed = curve.smoothed && !document.body.classList.contains('raw');
        const smoothed = isSmoothed ? ', smoothed ' + show(curve.smoothed[hit]) : '';
        const row = line([pale(curve.name + ' '), show(value), pale(other + smoothed)]);
        row.className = 'c' + curve.color;
        const height = value === null ? NaN : y(value);
        if (height >= data.top - 4 && height <= data.bottom + 2) {
          make('circle', {cx: x(curve.x[hit]), cy: height, r: 4, class: 'c' + curve.color}, cursor);
        }
      });
      readout.hidden = false;
      const pointer = x(leadStep) / width * box.width;
      const left = pointer + 14 + readout.offsetWidth < box.width ? pointer + 14 : pointer - 14 - readout.offsetWidth;
      readout.style.left = Math.max(0, left) + 'px';
    };
    svg.addEventListener('pointermove', move);
    svg.addEventListener('pointerdown', move);
    svg.addEventListener('pointerleave', hide);
  }

  const slider = document.getElementById('smoothing');
  if (slider && !document.querySelector('.smooth')) slider.parentElement.style.display = 'none';
  if (slider) {
    const apply = () => {
      const weight = slider.value === '0' ? 0 : 1 - Math.pow(10, -slider.value / 50);
      slider.nextElementSibling.textContent = weight === 0 ? 'off' : weight.toFixed(2);
      document.body.classList.toggle('raw', weight === 0);
      for (const redraw of redraws) redraw(weight);
    };
    slider.addEventListener('input', apply);
    apply();
  }
})();
]=]
