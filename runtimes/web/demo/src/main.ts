/** The page: the parts are made here, and told of each other. */

import './styles/page.css';
import './styles/stage.css';
import './styles/panel.css';
import { App } from './app.js';
import { discover } from './page_options.js';

const app = new App(await discover(new URL(location.href)));
await app.start();
