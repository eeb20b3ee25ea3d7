/** The page: the parts are made here, and told of each other. */

import './styles/page.css';
import './styles/stage.css';
import './styles/panel.css';
import { App } from './app.js';

await new App(new URL(location.href)).start();
